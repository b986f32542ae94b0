"""Undisturbed legs: what is known when a task is sent, and takes one event in place of three.

If nothing can happen to a task on its way, the ends of its legs are known when it is sent. Then
only its arrival is an event. The rows of the ends before it are given to the log ahead of their
time, which puts them in their places.

This changes nothing in the order of events. The end of a leg does nothing but log its row and
begin the next leg. So it has no order to keep, but that of time, if no event happens at the same
instant. Should one be put there, or should the server take the task back, then the task is
*disturbed*: its next end becomes an event, in the order that it would have had, and the task goes
on like all others (`afl_sim.world.clients.fleet`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from simpy.events import NORMAL

from afl_sim.world.clock import Clock
from afl_sim.world.microseconds import CLOCK_END
from afl_sim.world.tasks.task import Entry, Phase, Task

_TRIED: Final = 256
"""Tasks after which foreseeing stops if too many of them were disturbed."""


class LogAhead(Protocol):
    """A log that takes rows ahead of their time (`afl_sim.recording.rows_ahead.RowsAhead`)."""

    def add(
        self,
        sent: int,
        downloaded: int,
        computed: int,
        number: int,
        client: int,
        task: int,
        base_version: int,
        bytes: int,
        steps: int,
        samples: int,
    ) -> None:
        """Take the rows of a task that is sent."""

    def withdraw(self, number: int, time_us: int) -> None:
        """Forget the rows of a task that are later than ``time_us``."""

    def version_made(self, time_us: int) -> None:
        """The server has made its next version."""

    def reach(self, time_us: int) -> None:
        """All that happens before ``time_us`` has happened."""


class Undisturbed:
    """Foresees tasks, and lets go of those that are disturbed.

    Args:
        env: the clock.
        log: takes the rows of foreseen ends.
        downloaded, computed, uploaded: what follows a leg that ends as an event.
        arrive: called with a task that nothing has disturbed, when it arrives.
    """

    def __init__(
        self,
        env: Clock,
        log: LogAhead,
        *,
        downloaded: Callable[[Task], None],
        computed: Callable[[Task], None],
        uploaded: Callable[[Task], None],
        arrive: Callable[[Task], None],
    ) -> None:
        self._env = env
        self._log = log
        self._downloaded = downloaded
        self._computed = computed
        self._uploaded = uploaded
        self._arrive = arrive
        self._then = self._end  # made once
        self._ends: dict[int, Task | list[Task]] = {}  # instant -> whose leg ends then
        self._tasks = 0
        self._disturbed = 0
        env.watch(self._ends, self._meet)

    def foresee(self, task: Task) -> bool:
        """Have only the arrival happen, if the task's legs and their instants allow it.

        Returns:
            Whether they do. If not, nothing has changed.
        """
        if not (task.compute_us and task.upload_us) or self._disturbed > self._tasks // 4 + _TRIED:
            return False
        env, ends = self._env, self._ends
        sent = env.now_us
        downloaded = sent + task.download_us
        computed = downloaded + task.compute_us
        arrives = computed + task.upload_us
        if arrives in ends:
            self._meet(arrives)
        if computed > CLOCK_END or downloaded in env.due or computed in env.due:
            return False
        self._tasks += 1
        number = env.number = task.foreseen = env.number + 1
        loads = downloaded > sent
        self._log.add(
            sent,
            downloaded if loads else -1,
            computed,
            number,
            task.client,
            task.number,
            task.base_version,
            task.download_bytes,
            task.steps,
            task.samples,
        )
        for at_us in (downloaded, computed) if loads else (computed,):
            there = ends.get(at_us)
            if there is None:
                ends[at_us] = task
            elif type(there) is list:
                there.append(task)
            else:
                ends[at_us] = [there, task]  # type: ignore[list-item]
        task.then = self._then
        entry: Entry = (NORMAL, computed, downloaded, number, task)
        task.pending = entry
        env.put(arrives, entry)
        return True

    def disturb(self, task: Task) -> None:
        """From now on the ends of the task's legs are events."""
        if not task.foreseen:
            return
        self._disturbed += 1
        env, now = self._env, self._env.now_us
        arrives = task.due_us
        computed = arrives - task.upload_us
        downloaded = computed - task.compute_us
        number, task.foreseen = task.foreseen, 0
        self._strike(downloaded, task)
        self._strike(computed, task)
        if now > computed:
            task.phase, task.then = Phase.UPLOADING, self._uploaded
            task.leg_ends_us = arrives
            return
        self._log.withdraw(number, now)
        env.withdraw(arrives, number)
        if now < downloaded:
            task.then, task.leg_ends_us = self._downloaded, downloaded
            since, before = task.sent_us, 0
        else:
            task.phase, task.computing_since_us = Phase.COMPUTING, downloaded
            task.then, task.leg_ends_us = self._computed, computed
            since, before = downloaded, task.sent_us if downloaded > task.sent_us else 0
        entry: Entry = (NORMAL, since, before, number, task)
        task.pending = entry
        env.put(task.leg_ends_us, entry)

    def _end(self, task: Task) -> None:
        """A task arrives that nothing has disturbed."""
        computed = task.due_us - task.upload_us
        self._ends.pop(computed, None)
        self._ends.pop(computed - task.compute_us, None)
        task.foreseen = 0
        self._arrive(task)

    def _strike(self, at_us: int, task: Task) -> None:
        there = self._ends.get(at_us)
        if type(there) is list:
            if task in there:
                there.remove(task)
            if not there:
                del self._ends[at_us]
        elif there is task:
            del self._ends[at_us]

    def _meet(self, at_us: int) -> None:
        """Something is put at an instant at which foreseen legs end."""
        there = self._ends.pop(at_us)
        for task in list(there) if isinstance(there, list) else [there]:
            self.disturb(task)
