"""Waiting for a set of tasks: all of them, the first few, or until a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import simpy

from afl_sim.errors import ScheduleError
from afl_sim.world.clock import Wake
from afl_sim.world.tasks.task import Dispatch


class Wait(simpy.Event):
    """Comes with the list of updates that arrived, in order of arrival.

    It is over when ``first`` updates have arrived, when ``deadline_us`` microseconds have passed,
    or when nothing that it waits for can arrive any more. What arrives or fails after that, but
    before the waiting process goes on, is left to that process.

    Args:
        env: the SimPy environment.
        dispatches: the tasks to wait for, in flight or arrived and not taken.
        first: how many arrivals are enough; all by default.
        deadline_us: microseconds until it ends regardless; never by default.
        taken: called with each arrival when the waiting process is about to get it.

    Raises:
        ScheduleError: another wait that is not over has one of the tasks.
    """

    def __init__(
        self,
        env: simpy.Environment,
        dispatches: Iterable[Dispatch],
        first: int | None,
        deadline_us: int | None,
        taken: Callable[[Dispatch], None],
    ) -> None:
        super().__init__(env)
        self._awaited: dict[Dispatch, None] = {}
        self.arrived: list[Dispatch] = []
        self._taken = taken
        early: list[Dispatch] = []
        for dispatch in dispatches:
            if dispatch.waiter not in (None, self) and not dispatch.waiter.triggered:
                raise ScheduleError(f"two waits for {dispatch}; only one can be given its update")
            if dispatch.in_flight:
                dispatch.waiter = self
                self._awaited[dispatch] = None
            elif dispatch.arrived:
                early.append(dispatch)
        early.sort(key=lambda dispatch: dispatch.arrival)
        total = len(self._awaited) + len(early)
        self._enough = total if first is None else min(first, total)
        self.arrived = early[: self._enough]
        for dispatch in self.arrived:
            dispatch.waiter = self
        self.callbacks.append(self._take)
        if len(self.arrived) >= self._enough:
            self._end()
        elif deadline_us is not None:
            wake = Wake(env, deadline_us)
            wake.callbacks.append(self._expire)

    def arrive(self, dispatch: Dispatch) -> None:
        """An awaited update has reached the server."""
        self.arrived.append(dispatch)
        self._strike(dispatch)

    def give_up(self, dispatch: Dispatch) -> None:
        """A task will never arrive."""
        dispatch.waiter = None
        self._strike(dispatch)

    def _strike(self, dispatch: Dispatch) -> None:
        self._awaited.pop(dispatch, None)
        if not self.triggered and (len(self.arrived) >= self._enough or not self._awaited):
            self._end()

    def _expire(self, _: simpy.Event) -> None:
        if not self.triggered:
            self._end()

    def _end(self) -> None:
        for dispatch in self.arrived:
            dispatch.waiter = None
        self.succeed(self.arrived)

    def _take(self, _: simpy.Event) -> None:
        for dispatch in self._awaited:
            if dispatch.waiter is self:
                dispatch.waiter = None
        self._awaited.clear()
        for dispatch in self.arrived:
            self._taken(dispatch)
