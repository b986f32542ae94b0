"""Waiting for a set of tasks: all of them, the first few, or until a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import simpy

from afl_sim.errors import ScheduleError
from afl_sim.world.clock import Wake
from afl_sim.world.tasks.task import UPLOADING, Task


class Wait(simpy.Event):
    """Comes with the list of updates that arrived, in order of arrival.

    It is over when ``first`` updates have arrived, when ``deadline_us`` microseconds have passed,
    or when nothing that it waits for can arrive any more. What arrives or fails after that, but
    before the waiting process goes on, is left to that process.

    Args:
        env: the SimPy environment.
        tasks: the tasks to wait for, in flight or arrived and not taken.
        first: how many arrivals are enough; all by default.
        deadline_us: microseconds until it ends regardless; never by default.
        taken: called with each arrival when the waiting process is about to get it.

    Raises:
        ScheduleError: another wait that is not over has one of the tasks.
    """

    def __init__(
        self,
        env: simpy.Environment,
        tasks: Iterable[Task],
        first: int | None,
        deadline_us: int | None,
        taken: Callable[[Task], None],
    ) -> None:
        super().__init__(env)
        self.over = False
        self._awaited: dict[Task, None] = {}
        self.arrived: list[Task] = []
        self._taken = taken
        early: list[Task] = []
        for task in tasks:
            other = task.waiter
            if other is not None and other is not self and not other.over:
                raise ScheduleError(f"two waits for {task}; only one can be given its update")
            if task.phase <= UPLOADING:  # in flight
                task.waiter = self
                self._awaited[task] = None
            elif task.arrived:
                early.append(task)
        early.sort(key=lambda task: task.arrival)
        total = len(self._awaited) + len(early)
        self._enough = total if first is None else min(first, total)
        self.arrived = early[: self._enough]
        for task in self.arrived:
            task.waiter = self
        self.callbacks.append(self._take)
        if len(self.arrived) >= self._enough:
            self._end()
        elif deadline_us is not None:
            wake = Wake(env, deadline_us)
            wake.callbacks.append(self._expire)

    def arrive(self, task: Task) -> None:
        """An update that is waited for has reached the server."""
        self.arrived.append(task)
        self._strike(task)

    def give_up(self, task: Task) -> None:
        """An update that is waited for will never arrive."""
        task.waiter = None
        self._strike(task)

    def _strike(self, task: Task) -> None:
        self._awaited.pop(task, None)
        if not self.over and (len(self.arrived) >= self._enough or not self._awaited):
            self._end()

    def _expire(self, _: simpy.Event) -> None:
        if not self.over:
            self._end()

    def _end(self) -> None:
        self.over = True
        for task in self.arrived:
            task.waiter = None
        self.succeed(self.arrived)

    def _take(self, _: simpy.Event) -> None:
        for task in self._awaited:
            if task.waiter is self:
                task.waiter = None
        self._awaited.clear()
        for task in self.arrived:
            self._taken(task)
