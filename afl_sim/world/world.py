"""A run in virtual time: builds the clients and the server, and turns the clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from types import GeneratorType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import simpy

from afl_sim.errors import AflSimError, ScenarioError, ScheduleError
from afl_sim.scenario.scenario import Scenario
from afl_sim.streams import Streams
from afl_sim.user_code import place_of
from afl_sim.world import event_kinds
from afl_sim.world.account.building import account_of
from afl_sim.world.availability.outages import Outages
from afl_sim.world.building import Sizes, build_parts
from afl_sim.world.clients.undisturbed import LogAhead
from afl_sim.world.clock import Background, Clock
from afl_sim.world.each_version import EachVersion
from afl_sim.world.ending import Ending, RunEnded
from afl_sim.world.evaluations import Evaluations
from afl_sim.world.learner import Learner
from afl_sim.world.links.usage import LinkUse
from afl_sim.world.microseconds import CLOCK_END, MICROSECONDS, to_microseconds
from afl_sim.world.server.adaptive import AdaptiveServer
from afl_sim.world.server.ledger import Ledger, Log
from afl_sim.world.server.outlook import Outlook
from afl_sim.world.server.server import Server
from afl_sim.world.server.standstill import Standstill
from afl_sim.world.server.supervision import Schedule, supervised
from afl_sim.world.shuffles import with_shuffles
from afl_sim.world.stopping import StopRules
from afl_sim.world.tasks.roofline import StepCost

_NO_EVENT = "Invalid yield value"  # SimPy's words
_EVENTS = 1 << 12  # between two looks at whether the run makes progress


class Scheduled(Protocol):
    """What virtual time needs of a strategy."""

    @property
    def reads_results(self) -> bool:
        """Whether the schedule may read results."""

    @property
    def queues_at_clients(self) -> bool:
        """Whether the schedule sends tasks to clients at work, which queue them."""

    @property
    def waits_for_all(self) -> bool:
        """Whether there is no version before every client has sent an update."""

    @property
    def waits_again(self) -> bool:
        """Whether that holds for each later version, too, and updates since the one before."""

    def schedule(self, server: Any) -> Schedule:  # it sees the server as a `ServerView`
        """The server's process."""


class World:
    """Everything that happens in virtual time.

    Args:
        scenario: the resolved scenario.
        strategy: whose schedule the server follows.
        samples_of: the number of samples that a client holds.
        model_bytes: size of the model that a client downloads, in bytes.
        learner: the numeric half of the run.
        log: takes one event row (`afl_sim.recording.EventLog.append`).
        progress: called with each version.
        after_version: called with each version that does not end the run, once all is recorded.
        update_bytes: size of the update that a client uploads, in bytes; that of the model if None.
        cost: of a local step; needed only where clients have operations per second.
        most, absent: as in `Sizes`.
        between_events: called now and then; returns after how many more events to call it again.
        ahead: takes rows of the same log ahead of their time; without it every leg is an event.

    Attributes:
        server: what the schedule sees.
        account: what the run uses and costs; None if the scenario says nothing of that.
    """

    def __init__(
        self,
        scenario: Scenario,
        strategy: Scheduled,
        samples_of: Callable[[int], int],
        model_bytes: int,
        learner: Learner,
        log: Log,
        *,
        progress: Callable[[], None] | None = None,
        after_version: Callable[[int], None] | None = None,
        update_bytes: int | None = None,
        cost: StepCost | None = None,
        most: npt.NDArray[np.int64] | None = None,
        absent: npt.NDArray[np.bool_] | None = None,
        update_variance: float | None = 0.0,
        between_events: Callable[[], int] = lambda: _EVENTS,
        ahead: LogAhead | None = None,
    ) -> None:
        streams = Streams(scenario.seed)
        scenario = self._scenario = with_shuffles(scenario, streams, "")
        self._strategy = strategy
        self._learner = learner
        self._between_events = between_events
        self._ahead = ahead
        self._at_most: int | None = None  # events
        self._looked = 0  # events so far, in steps
        env = self._env = Clock()
        self._background = Background(env)
        self._outages = Outages(scenario.server.pauses, streams)
        account = self.account = account_of(scenario, streams, absent)
        if account is not None:  # it follows each row when it is logged
            ahead = self._ahead = None
        self._ledger = Ledger(env, log if account is None else account.watching(log), ahead)
        self._stop = StopRules(scenario.stop, self._ledger, env.pause, account)
        self._evaluations = Evaluations(
            env, scenario, self._background, learner, self._ledger, self._stop, account
        )
        self._each_version = EachVersion(
            env,
            self._ledger,
            self._evaluations,
            self._stop,
            account is not None,
            self._look,
            progress,
            after_version,
        )
        queues = scenario.clients.queue == "fifo" or strategy.queues_at_clients
        self._parts = build_parts(
            env,
            scenario,
            Sizes(
                samples_of,
                model_bytes,
                model_bytes if update_bytes is None else update_bytes,
                cost,
                most,
                absent,
                update_variance,
            ),
            streams,
            learner,
            self._ledger,
            self._outages,
            reads_results=strategy.reads_results,
            queues=queues,
            refreshes=bool(getattr(strategy, "refreshes", False)),
            on_version=self._each_version.made,
            ahead=ahead,
            batteries=None if account is None else account.batteries,
        )
        if account is not None and account.batteries is not None:
            account.batteries.on_low = self._charge
            self._parts.sender.runs_low = lambda task: account.runs_low(task.client, task.number)
        if account is not None and account.counted.by_sample:
            self._ledger.work_done = self._parts.sender.fleet.samples_done
        self.server = Server(self._parts, strategy, streams, queues)
        if scenario.server.adaptive is not None:
            self.server = self._each_version.adaptive = AdaptiveServer(
                self._parts, strategy, streams, queues, scenario.server.adaptive
            )
        self._outlook = Outlook(self._parts, self._background, strategy)
        self._standstill = Standstill(
            self.server,
            self._parts.idle_waits,
            self._parts.sender,
            self._outlook.missing,
            scenario,
        )

    @property
    def time_us(self) -> int:
        """The clock, in microseconds."""
        return self._env.now_us

    def link_uses(self, time_us: int) -> dict[str, LinkUse]:
        """What the server's contended links were used for until now, by their key."""
        return self._parts.durations.link_uses(time_us)

    def usual_seconds(self, client: int) -> dict[str, float]:
        """About how long each leg of the client's tasks takes, by its key in the scenario."""
        return self._parts.durations.usual_seconds(client)

    def run(self, at_most: int | None = None) -> Ending:
        """Turn the clock until a stop rule is reached.

        Args:
            at_most: give up after about this many events, and after half as many without progress.
                By default a run may have any number.

        Raises:
            ScheduleError: the schedule broke a rule, came to rest before any stop rule, or makes no
                progress towards one.
            ScenarioError: a drawn number is not a duration, or leads beyond the end of the clock.
            AflSimError: a contended link breaks Little's law, a defect of the simulator.
        """
        stop = self._scenario.stop
        horizon = (
            math.inf
            if stop.virtual_seconds is None
            else to_microseconds(stop.virtual_seconds, "stop.virtual_seconds")
        )
        self._evaluations.begin()
        if self._outages.happen:
            self._env.process(self._pauses())
        self._env.process(supervised(self._schedule, self._strategy))
        if at_most is not None:
            self._at_most = at_most
            self._standstill.limit_to(at_most // 2)
        end_us = self.time_us
        try:
            end_us = self._turn(horizon)
        finally:
            if self._ahead is not None:
                self._ahead.reach(max(end_us, self.time_us))
        remark = self._outlook.remark()
        self._evaluations.end(end_us)
        self._learner.settle()
        for name, use in self.link_uses(end_us).items():
            use.check(f"server.{name}")
        if self._stop.reached is not None:
            return Ending(end_us, self._stop.reached)
        return Ending(end_us, "virtual_seconds", remark)

    def _schedule(self) -> Schedule:
        schedule = self._strategy.schedule(self.server)
        if not isinstance(schedule, Generator):
            raise ScheduleError(
                f"strategy {self._strategy.kind}: schedule() must be a generator; it returned a "
                f"{type(schedule).__name__}: expected a function that yields events, as in: "
                f"update = yield server.arrival(){place_of(self._strategy.schedule)}"
            )
        return schedule

    def _turn(self, horizon: float) -> int:
        """Turn the clock; returns the microsecond at which the run ends."""
        env, turn, stop = self._env, self._env.turn, self._stop
        end = min(horizon, CLOCK_END)
        until_look, most = _EVENTS, 1
        try:
            while stop.reached is None and (steps := turn(end, most)):
                until_look -= steps
                if not until_look:
                    self._look(_EVENTS)  # never by the wall clock: a run may fail by it
                    until_look = _EVENTS
                most = min(self._between_events(), until_look)
        except RunEnded:
            pass
        except AflSimError as error:
            # SimPy raises a copy of what a process raised, and another copy in a process that waits
            # for it. The original shows where it was raised.
            while isinstance(error.__cause__, AflSimError):
                error = error.__cause__
            raise error from error.__cause__
        except RuntimeError as error:
            if _NO_EVENT not in str(error):
                raise
            raise ScheduleError(
                "the schedule yielded something other than an event: "
                f"{str(error).rpartition(_NO_EVENT)[2].strip()} ({self._where()}); "
                "expected an event, such as server.arrival() returns"
            ) from error
        if stop.reached is not None:
            return env.now_us
        if horizon is math.inf and env.peek() < math.inf:
            raise ScenarioError(
                f"virtual time ran beyond {CLOCK_END / MICROSECONDS:g} s, the end of the clock: "
                "durations are too long; expected a stop rule that is reached before"
            )
        if horizon is math.inf:
            raise ScheduleError(
                f"the schedule came to rest at {env.now_us / MICROSECONDS:g} s, before any stop "
                f"rule: {self._outlook.at_rest()}"
            )
        return int(horizon)

    def _look(self, events: int) -> None:
        """Check for progress, ``events`` events or versions after the last check."""
        self._standstill.look(events)
        self._looked += events
        self._each_version.unseen = 0
        if self._at_most is not None and self._looked >= self._at_most:
            self._stop.end("none")

    def _where(self) -> str:
        """The line at which the running process stands."""
        process: Any = self._env.active_process
        schedule = process._generator
        while isinstance(schedule.gi_yieldfrom, GeneratorType):
            schedule = schedule.gi_yieldfrom
        return f"{schedule.gi_code.co_filename}:{schedule.gi_frame.f_lineno}"

    def _charge(self, client: int, until_us: int) -> None:
        """Log that a client's battery is low, and later that it is charged."""
        self._ledger.record_presence(event_kinds.UNAVAILABLE, client)
        charged = self._env.timeout(until_us - self.time_us)
        charged.callbacks.append(
            lambda _: self._ledger.record_presence(event_kinds.AVAILABLE, client)
        )
        self._parts.sender.charge(client)

    def _pauses(self) -> Generator[simpy.Event, None, None]:
        """Log when the server goes down and comes up."""
        while not self._background.alone or self.time_us == 0:
            for kind in (event_kinds.PAUSED, event_kinds.RESUMED):
                until = self._outages.state(self.time_us)[1]
                yield from self._background.sleep(until - self.time_us, first=True)
                self._ledger.note(self.time_us, kind)
