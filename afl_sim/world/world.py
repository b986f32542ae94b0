"""A run in virtual time: builds the clients and the server, and turns the clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, Protocol

import simpy

from afl_sim.errors import AflSimError, ScenarioError, ScheduleError
from afl_sim.scenario.scenario import Scenario
from afl_sim.streams import Streams
from afl_sim.world import event_kinds
from afl_sim.world.availability.outages import Outages
from afl_sim.world.availability.timelines import build as build_availability
from afl_sim.world.clients.churn import Churn
from afl_sim.world.clients.devices import with_devices
from afl_sim.world.clients.fleet import Fleet
from afl_sim.world.clients.queueing import QueueingFleet
from afl_sim.world.clients.selection import build as build_selector
from afl_sim.world.clock import CLOCK_END, MICROSECONDS, Background, to_microseconds
from afl_sim.world.draws import draw
from afl_sim.world.learner import Learner
from afl_sim.world.links.network import ClientLink, ServerLink
from afl_sim.world.server.aggregating import Schedule
from afl_sim.world.server.server import Server
from afl_sim.world.server.standstill import Standstill
from afl_sim.world.shuffles import with_shuffles
from afl_sim.world.tasks.compute import Compute
from afl_sim.world.tasks.faults import build as build_faults
from afl_sim.world.tasks.workload import Workload

_NO_EVENT = "Invalid yield value"  # SimPy's words
_EVENTS = 1 << 12  # between two looks at whether the run stands still


class Scheduled(Protocol):
    """What has a schedule: the half of a strategy that virtual time sees."""

    @property
    def reads_results(self) -> bool:
        """Whether the schedule reads training results."""

    def schedule(self, server: Any) -> Schedule:  # it sees the server as a `ServerView`
        """The server's process."""


class RunEnded(BaseException):
    """Unwinds the schedule from inside the aggregation that reached a stop rule."""


@dataclass(frozen=True)
class Ending:
    """How a run ended: the virtual time in microseconds, and the stop rule that was reached."""

    time_us: int
    rule: str


class World:
    """Everything that happens in virtual time.

    Args:
        scenario: the resolved scenario.
        strategy: whose schedule the server follows.
        samples_of: the number of samples a client holds.
        model_bytes: size of the model that a client downloads, in bytes.
        learner: the numeric half of the run.
        log: takes one event row (`afl_sim.recording.EventLog.append`).
        progress: called with each version.
        after_version: called with each version that does not end the run, once all is recorded.
        update_bytes: size of the update that a client uploads, in bytes; that of the model if None.
        between_events: called now and then; returns after how many more events to call it again.
    """

    def __init__(
        self,
        scenario: Scenario,
        strategy: Scheduled,
        samples_of: Callable[[int], int],
        model_bytes: int,
        learner: Learner,
        log: Callable[..., None],
        progress: Callable[[], None] | None = None,
        after_version: Callable[[int], None] | None = None,
        update_bytes: int | None = None,
        between_events: Callable[[], int] = lambda: _EVENTS,
    ) -> None:
        streams = self._streams = Streams(scenario.seed)
        scenario = self._scenario = with_shuffles(scenario, streams, "")
        self._strategy = strategy
        self._learner = learner
        self._log = log
        self._progress = progress
        self._after_version = after_version
        self._between_events = between_events
        self._rule: str | None = None
        self._looked = 0  # events so far, in steps
        self._unseen = 0  # versions since
        self._evaluated: tuple[int, int] | None = None
        self.env = simpy.Environment(initial_time=0)
        self._background = Background(self.env)
        training = scenario.training
        workload = Workload(
            samples_of,
            training.samples_per_step,
            training.epochs,
            training.steps,
            training.drop_last,
            streams,
        )
        settings = scenario.clients.availability
        availability = build_availability(settings, streams)
        self._outages = Outages(scenario.server.pauses, streams)
        queues = scenario.clients.queue == "fifo" or getattr(strategy, "queues_at_clients", False)
        self.server = Server(
            self.env,
            scenario.clients.count,
            streams,
            learner,
            log,
            scenario.server.aggregation_seconds,
            self._on_version,
            strategy.reads_results,
            availability,
            self._outages,
            queues,
        )
        self.server.strategy = strategy
        clients = with_devices(scenario.clients, streams)
        network = clients.network
        self.server.fleet = (QueueingFleet if queues else Fleet)(
            self.env,
            workload,
            Compute(clients.compute, workload, streams),
            ClientLink(network.download, "download", streams),
            ClientLink(network.upload, "upload", streams),
            ServerLink(self.env, scenario.server.download, "download", streams),
            ServerLink(self.env, scenario.server.upload, "upload", streams),
            model_bytes,
            model_bytes if update_bytes is None else update_bytes,
            self.server.record,
            self.server.deliver,
            self.server.fail,
            self._outages,
            build_faults(scenario.clients.faults, streams),
        )
        evaluation = scenario.evaluation
        if evaluation.every_versions is not None and evaluation.seconds.constant != 0:
            self.server.evaluation_seconds = self._evaluation_seconds
        selection = scenario.server.selection
        self.server.select_by(
            build_selector(selection, samples_of, self.server.expected_seconds, streams),
            selection.reads_results,
        )
        if availability is not None and settings.on_leave != "finish":
            churn = Churn(
                self.env,
                availability,
                settings.on_leave,
                self.server.fleet,
                self.server,
                punctual=self.server.fleet.punctual,
            )
            self.server.fleet.on_launch = churn.watch

    @property
    def time_us(self) -> int:
        """The clock, in microseconds."""
        return int(self.env.now)

    def run(self, at_most: int | None = None) -> Ending:
        """Turn the clock until a stop rule is reached.

        Args:
            at_most: give up after about so many events; half as many that lead nowhere are too
                many. By default a run may have any number.

        Raises:
            ScheduleError: if the schedule broke a rule, came to rest before any stop rule, or goes
                on without ever coming nearer to one.
            ScenarioError: if a duration is none, or takes the run beyond the end of the clock.
            AflSimError: if a contended link breaks Little's law, a defect of the simulator.
        """
        stop = self._scenario.stop
        horizon = (
            math.inf
            if stop.virtual_seconds is None
            else to_microseconds(stop.virtual_seconds, "stop.virtual_seconds")
        )
        self._evaluate()
        if self._scenario.evaluation.every_seconds is not None:
            period = self._scenario.evaluation.every_seconds
            self.env.process(self._evaluations(to_microseconds(period, "evaluation.every_seconds")))
        if self._outages.happen:
            self.env.process(self._pauses())
        self.server.spawn(self._schedule())
        self._at_most = at_most
        limit = None if at_most is None else at_most // 2
        self._standstill = Standstill(self.server, self._scenario, limit)
        end_us = self._turn(horizon)
        if self._evaluated != (end_us, self.server.version):
            self._evaluate(end_us)
        self._learner.settle()
        for name, use in self.server.fleet.link_uses(end_us).items():
            use.check(f"server.{name}")
        return Ending(end_us, self._rule or "virtual_seconds")

    def _schedule(self) -> Schedule:
        schedule = self._strategy.schedule(self.server)
        if not isinstance(schedule, Generator):
            raise ScheduleError(
                f"the schedule is no process: it gave a {type(schedule).__name__}; expected a "
                "function that yields"
            )
        yield from schedule

    def _turn(self, horizon: float) -> int:
        env, step, peek = self.env, self.env.step, self.env.peek
        end = min(horizon, CLOCK_END)
        steps, look_at = 0, 1
        try:
            while self._rule is None and peek() < end:
                step()
                steps += 1
                if steps == look_at:
                    if not steps % _EVENTS:
                        self._look(_EVENTS)  # never by the wall clock: a run may fail by it
                    next_look = steps - steps % _EVENTS + _EVENTS
                    look_at = min(steps + self._between_events(), next_look)
        except RunEnded:
            pass
        except AflSimError as error:
            # SimPy re-raises a copy of what a process raised, and again in one that waits for it;
            # the original says where it was.
            while isinstance(error.__cause__, AflSimError):
                error = error.__cause__
            raise error from error.__cause__
        except RuntimeError as error:
            if _NO_EVENT not in str(error):
                raise
            raise ScheduleError(
                "the schedule yields what is no event, such as server.arrival() gives: "
                f"{str(error).rpartition(_NO_EVENT)[2].strip()} ({self._where()})"
            ) from error
        if self._rule is not None:
            return int(env.now)
        if horizon is math.inf and peek() < math.inf:
            raise ScenarioError(
                f"virtual time ran beyond {CLOCK_END / MICROSECONDS:g} s, the end of the clock: "
                "durations are too long; expected a stop rule that is reached before"
            )
        if horizon is math.inf:
            raise ScheduleError(
                f"the schedule came to rest at {env.now / MICROSECONDS:g} s, before any stop rule: "
                + (
                    "no idle client will ever be there again"
                    if self.server.everyone_is_gone()
                    else "nothing is in flight and the server waits for nothing that can happen"
                )
            )
        return int(horizon)

    def _look(self, events: int) -> None:
        """Look on after so many more events, or versions that came without any."""
        self._standstill.look(events)
        self._looked += events
        self._unseen = 0
        if self._at_most is not None and self._looked >= self._at_most:
            self._end("none")

    def _where(self) -> str:
        """The line at which the running process stands."""
        process: Any = self.env.active_process
        schedule = process._generator
        while isinstance(schedule.gi_yieldfrom, GeneratorType):
            schedule = schedule.gi_yieldfrom
        return f"{schedule.gi_code.co_filename}:{schedule.gi_frame.f_lineno}"

    def _on_version(self) -> None:
        every = self._scenario.evaluation.every_versions
        if every is not None and self.server.version % every == 0:
            self._evaluate()
        if self._progress is not None:
            self._progress()
        self._unseen += 1
        if self._unseen == 0x1800:  # so many in so few events, perhaps in one that never ends
            self._look(self._unseen)
        stop, server = self._scenario.stop, self.server
        reached = {
            "versions": (stop.versions, server.version),
            "updates": (stop.updates, server.counts.aggregated),
            "samples": (stop.samples, server.counts.samples),
        }
        for rule, (limit, value) in reached.items():
            if limit is not None and value >= limit:
                self._end(rule)
        if self._rule is not None:
            raise RunEnded
        if self._after_version is not None:
            self._after_version(server.version)

    def _end(self, rule: str) -> None:
        self._rule = self._rule or rule

    def _evaluation_seconds(self, version: int) -> float:
        evaluation = self._scenario.evaluation
        if evaluation.every_versions is None or version % evaluation.every_versions:
            return 0.0
        return draw(evaluation.seconds, self._streams, "evaluation.seconds", 0, version)

    def _pauses(self) -> Generator[simpy.Event, None, None]:
        while not self._background.alone or self.time_us == 0:
            for kind in (event_kinds.PAUSED, event_kinds.RESUMED):
                until = self._outages.state(self.time_us)[1]
                yield from self._background.sleep(until - self.time_us, first=True)
                self._log(self.time_us, kind, -1, -1, self.server.version)

    def _evaluations(self, period_us: int) -> Generator[simpy.Event, None, None]:
        while True:
            yield from self._background.sleep(period_us)
            self._evaluate()
            if self._background.alone:
                return  # nothing else can happen: let the run come to rest

    def _evaluate(self, time_us: int | None = None) -> None:
        server = self.server
        now = self.time_us if time_us is None else time_us
        self._evaluated = (now, server.version)
        counts = server.counts
        self._learner.evaluate(now, server.version, counts.aggregated, counts.samples)
        self._log(now, event_kinds.EVALUATED, -1, -1, server.version)
        target = self._scenario.stop.accuracy
        if target is not None and self._learner.accuracy() >= target:
            self._end("accuracy")
