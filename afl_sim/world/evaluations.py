"""When the global model is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Generator

import simpy

from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.sections.metrics import is_reached
from afl_sim.streams import Streams
from afl_sim.world import event_kinds
from afl_sim.world.account.account import Account
from afl_sim.world.clock import Background, Clock
from afl_sim.world.learner import Learner
from afl_sim.world.microseconds import to_microseconds
from afl_sim.world.server.ledger import Ledger
from afl_sim.world.stopping import StopRules


class Evaluations:
    """Has the model evaluated: at the start, by versions or by the clock, and at the end.

    Args:
        env: the clock.
        scenario: has when.
        background: what happens by the clock alone.
        learner: evaluates.
        ledger: counts and logs.
        stop: is told if a metric reaches its value.
        account: what the run uses and costs, if that is counted.

    Attributes:
        every_versions: after so many versions `on_version` evaluates; None if it never does.
    """

    def __init__(
        self,
        env: Clock,
        scenario: Scenario,
        background: Background,
        learner: Learner,
        ledger: Ledger,
        stop: StopRules,
        account: Account | None = None,
    ) -> None:
        self._env = env
        self.every_versions = scenario.evaluation.every_versions
        self._every_seconds = scenario.evaluation.every_seconds
        self._targets = [
            (name, value, scenario.evaluation.better(name))
            for name, value in scenario.stop.by_metric.items()
        ]
        self._background = background
        self._learner = learner
        self._ledger = ledger
        self._stop = stop
        self._account = account
        self._last: tuple[int, int] | None = None  # the instant and the version

    def begin(self) -> None:
        """Evaluate the initial model, and from now on by the clock if the scenario says so."""
        self._evaluate(self._env.now_us)
        if self._every_seconds is not None:
            period = to_microseconds(self._every_seconds, "evaluation.every_seconds")
            self._env.process(self._by_the_clock(period))

    def end(self, time_us: int) -> None:
        """Evaluate the final model, unless this was done at the same instant."""
        if self._last != (time_us, self._ledger.version):
            self._evaluate(time_us)

    def on_version(self) -> None:
        """Evaluate the version just made, if it is its turn."""
        every = self.every_versions
        if every is not None and self._ledger.version % every == 0:
            self._evaluate(self._env.now_us)

    def _by_the_clock(self, period_us: int) -> Generator[simpy.Event, None, None]:
        while True:
            yield from self._background.sleep(period_us)
            self._evaluate(self._env.now_us)
            if self._background.alone:
                return  # nothing else can happen: let the run come to rest

    def _evaluate(self, time_us: int) -> None:
        ledger, counts = self._ledger, self._ledger.counts
        self._last = (time_us, ledger.version)
        self._learner.evaluate(time_us, ledger.version, counts.aggregated, counts.samples)
        ledger.note(time_us, event_kinds.EVALUATED)
        if self._account is not None:
            self._account.mark(time_us, ledger.version)
            self._stop.look_at_costs(time_us)
        for name, value, better in self._targets:
            if is_reached(self._learner.metric(name), value, better):
                self._stop.end(name)


def evaluation_seconds(scenario: Scenario, streams: Streams) -> Callable[[int], float] | None:
    """The virtual seconds that the evaluation of a version takes; None if always 0.

    Args:
        scenario: has the law.
        streams: the run's random streams; the draw of a version has its number.
    """
    every, law = scenario.evaluation.every_versions, scenario.evaluation.seconds
    if every is None or law.constant == 0:
        return None

    def seconds(version: int) -> float:
        return 0.0 if version % every else draw(law, streams, "evaluation.seconds", 0, version)

    return seconds
