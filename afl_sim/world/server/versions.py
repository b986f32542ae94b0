"""Making versions: at once, or in the time that an aggregation and an evaluation take."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import simpy

from afl_sim.errors import ScheduleError
from afl_sim.world.clock import Clock, Done
from afl_sim.world.learner import Learner, follows
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.server.alarm import Alarm
from afl_sim.world.server.inbox import Inbox
from afl_sim.world.server.ledger import Ledger
from afl_sim.world.tasks.task import AGGREGATED, ARRIVED, Task

_arrival = attrgetter("arrival")
_EMPTY_ROUNDS = 10_000
"""Aggregations of no updates, one after the other at one instant, that a schedule may make."""

_TEXTS_KEPT = 256  # a bounded cache


@dataclass(frozen=True)
class ServerTimes:
    """How long the server is busy with a version.

    Attributes:
        aggregation: the virtual seconds that an aggregation takes, by its number from 0; None if
            none takes time.
        evaluation: the virtual seconds that the evaluation of a version takes, by the version; None
            if evaluations never take time.
    """

    aggregation: Callable[[int], float] | None
    evaluation: Callable[[int], float] | None


class VersionMaker:
    """Makes versions out of updates that have arrived.

    Args:
        env: the clock.
        ledger: counts and logs.
        learner: the numeric half of the run.
        inbox: where the updates arrive.
        alarm: wakes the server.
        times: how long aggregations and evaluations take.
        on_version: called after each new version.
        everyone_is_gone: whether all idle clients have left for good.
    """

    def __init__(
        self,
        env: Clock,
        ledger: Ledger,
        learner: Learner,
        inbox: Inbox,
        alarm: Alarm,
        times: ServerTimes,
        on_version: Callable[[], None],
        everyone_is_gone: Callable[[], bool],
    ) -> None:
        self._env = env
        self._ledger = ledger
        self._aggregate = learner.aggregate if follows(learner) else None
        self._inbox = inbox
        self._alarm = alarm
        self._aggregation_seconds = times.aggregation
        self._evaluation_seconds = times.evaluation
        self._on_version = on_version
        self._everyone_is_gone = everyone_is_gone
        self._made = Done(env)  # one for all versions that took no time
        self._texts: dict[str, str] = {}
        self._begun = 0  # aggregations; where none overlap, the version
        self._empty_rounds = 0  # aggregations of no updates in a row, at the same state
        self._empty_state: tuple[int, int, int] | None = None  # instant, tasks sent and arrived

    def aggregate(self, updates: Iterable[Task], context: dict[str, Any]) -> simpy.Event:
        """The event that the next version is made, and evaluated if that takes time.

        Args:
            updates: the updates to combine; none make no version.
            context: plain values for the log and the numeric half.

        Raises:
            ScheduleError: an update is not at the server.
        """
        batch = list(updates)
        if len(batch) > 1:
            batch.sort(key=_arrival)
        if not batch:
            self._check_empty_rounds()
            return self._made
        for task in batch:
            if task.phase is not ARRIVED and task.phase is not AGGREGATED:
                raise ScheduleError(f"{task} cannot be aggregated: it is not at the server")
        seconds = 0.0
        if self._aggregation_seconds is not None:
            seconds = self._aggregation_seconds(self._begun)
        self._begun += 1
        if seconds == 0:
            self._make(batch, context)
            if self._evaluation_seconds is None:
                return self._made
            return self._evaluation() or self._made
        began_us = self._env.now_us
        made = self._alarm.after(seconds, "server.aggregation_seconds")
        made.callbacks.append(lambda _: self._make(batch, context, began_us))
        return made if self._evaluation_seconds is None else self._env.process(self._after(made))

    def _after(self, made: simpy.Event) -> Generator[simpy.Event, Any, None]:
        """Until the version is made, and evaluated if that takes time."""
        yield made
        evaluation = self._evaluation()
        if evaluation is not None:
            yield evaluation

    def _evaluation(self) -> simpy.Event | None:
        """The end of the evaluation of the version just made, if that takes time."""
        if self._evaluation_seconds is None:
            return None
        seconds = self._evaluation_seconds(self._ledger.version)
        return self._alarm.after(seconds, "evaluation.seconds") if seconds else None

    def _make(
        self, batch: list[Task], context: dict[str, Any], began_us: int | None = None
    ) -> None:
        """Make a version. If that has taken time, the log has its beginning beside the context."""
        ledger = self._ledger
        if self._aggregate is not None:
            self._aggregate(batch, ledger.version + 1, context)
        ledger.next_version()
        noted = context if began_us is None else {**context, "began_us": began_us}
        text = self._text(noted) if noted else None
        for task in batch:
            if task.phase is AGGREGATED:
                continue  # an update that a method uses again counts once
            if not task.freed:
                self._inbox.take(task)  # a schedule may use an update that it never took
            ledger.use(task, text)
        self._on_version()

    def _text(self, context: dict[str, Any]) -> str:
        """The context as JSON, which is made once for equal contexts."""
        key = repr(context)
        text = self._texts.get(key)
        if text is None:
            if len(self._texts) >= _TEXTS_KEPT:
                self._texts.clear()
            text = self._texts[key] = _json(context)
        return text

    def _check_empty_rounds(self) -> None:
        """Refuse a schedule that aggregates no updates for ever at one instant."""
        counts = self._ledger.counts
        state = (self._env.now_us, counts.dispatched, counts.arrived)
        self._empty_rounds = self._empty_rounds + 1 if state == self._empty_state else 0
        self._empty_state = state
        if self._empty_rounds > _EMPTY_ROUNDS:
            why = "no client has a task, and the schedule does not wait"
            if self._everyone_is_gone():
                why = "no idle client will ever be there again"
            raise ScheduleError(
                f"the schedule calls aggregate without updates over and over at "
                f"{self._env.now_us / MICROSECONDS:g} s: {why}"
            )


def _json(context: dict[str, Any]) -> str:
    """The context as JSON; it has no numbers that are not finite, so they become null."""
    try:
        return json.dumps(context, sort_keys=True, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(context), sort_keys=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
