"""Making versions: at once, or in the time that an aggregation and an evaluation take."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import simpy

from afl_sim.errors import ScheduleError
from afl_sim.world.clock import Done, Wake, to_microseconds
from afl_sim.world.draws import draw
from afl_sim.world.server.sending import Sending
from afl_sim.world.tasks.task import Phase, Task

Schedule = Generator[simpy.Event, Any, None]
"""A strategy's life in virtual time: a SimPy process."""


class Aggregating(Sending):
    """A server that makes versions out of what has arrived."""

    def aggregate(self, updates: Iterable[Task], **context: Any) -> simpy.Event:
        """Make the next version out of updates that have arrived.

        Without aggregation time it happens at once, inside this call. An aggregation of no updates
        makes no version.

        Args:
            updates: the updates to combine; they are passed on in order of arrival.
            context: plain values (the tier, the phase) for the log and the numeric half.
        """
        batch = sorted(updates, key=lambda task: task.arrival)
        if not batch:
            self._came_to_nothing()
            return Done(self._env)
        for task in batch:
            if task.phase not in (Phase.ARRIVED, Phase.AGGREGATED):
                raise ScheduleError(f"{task} cannot be aggregated: it is not at the server")
        seconds = draw(
            self._aggregation_seconds, self._streams, "server.aggregation", 0, self._aggregations
        )
        self._aggregations += 1
        if seconds == 0:
            self._make_version(batch, context)
            return self._evaluation() or Done(self._env)
        began_us = int(self._env.now)
        made = self._wake(seconds, "server.aggregation_seconds")
        made.callbacks.append(lambda _: self._make_version(batch, context, began_us))
        return made if self.evaluation_seconds is None else self._env.process(self._after(made))

    def _after(self, made: simpy.Event) -> Schedule:
        """Until the version is made, and evaluated if it is to be."""
        yield made
        evaluation = self._evaluation()
        if evaluation is not None:
            yield evaluation

    def _evaluation(self) -> simpy.Event | None:
        """The end of the evaluation of the version just made, if that takes time."""
        seconds = 0.0 if self.evaluation_seconds is None else self.evaluation_seconds(self.version)
        return self._wake(seconds, "evaluation.seconds") if seconds else None

    def _wake(self, seconds: float, key: str) -> Wake:
        return Wake(self._env, self._delay(seconds, key))

    def _delay(self, seconds: float, key: str) -> int:
        """Microseconds until then, or until the server is up again."""
        now = int(self._env.now)
        return self._outages.up_us(now + to_microseconds(seconds, key)) - now
