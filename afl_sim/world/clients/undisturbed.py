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
from heapq import heappush
from typing import Final, Protocol

from simpy.events import NORMAL

from afl_sim.world.clock import Clock
from afl_sim.world.event_kinds import DOWNLOADED, ROW
from afl_sim.world.microseconds import CLOCK_END
from afl_sim.world.tasks.task import Entry, Phase, Task

_pack: Final = ROW.pack

_TRIED: Final = 256
"""Tasks after which foreseeing pauses if too many of them were disturbed."""

_SHORTEST_PAUSE: Final = 1 << 12
_LONGEST_PAUSE: Final = 1 << 16
"""Tasks that are not foreseen then. Each pause is twice as long as the one before. A run may begin
with thousands of tasks that are downloaded at the same instant, at which something else happens,
and have no such instant ever after."""


class LogAhead(Protocol):
    """A log that takes rows ahead of their time (`afl_sim.recording.rows_ahead.RowsAhead`)."""

    @property
    def buffer(self) -> bytearray:
        """Where rows are packed (`ROW`), which saves a call for each.

        A task that is sent, and that nothing can disturb, has one row that tells three
        (`afl_sim.recording.rows_ahead.TOLD`).
        """

    @property
    def versions(self) -> list[int]:
        """Gets the instant of each version, in microseconds."""

    @property
    def most(self) -> int:
        """If the buffer has so many bytes, `full` is to be called."""

    def full(self) -> None:
        """Take what is in the buffer."""

    def withdraw(self, number: int, time_us: int) -> None:
        """Forget the rows of a task that are later than ``time_us``."""

    def reach(self, time_us: int) -> None:
        """All that happens before ``time_us`` has happened."""


class Undisturbed:
    """Foresees tasks, and lets go of those that are disturbed.

    Args:
        env: the clock.
        log: takes the rows of foreseen ends.
        record: called with an event that happens at once: its kind, the task, and bytes.
        downloaded, computed, uploaded: what follows a leg that ends as an event.
        arrive: called with a task that nothing has disturbed, when it arrives.
    """

    def __init__(
        self,
        env: Clock,
        log: LogAhead,
        *,
        record: Callable[[int, Task, int], None],
        downloaded: Callable[[Task], None],
        computed: Callable[[Task], None],
        uploaded: Callable[[Task], None],
        arrive: Callable[[Task], None],
    ) -> None:
        self._env = env
        self._log = log
        self._buffer = log.buffer
        self._record = record
        self._downloaded = downloaded
        self._computed = computed
        self._uploaded = uploaded
        self._arrive = arrive
        self._then = self._end  # made once
        self._tasks = 0
        self._disturbed = 0
        self._left_out = 0  # tasks that are not foreseen, since too many were disturbed
        self._pause = _SHORTEST_PAUSE
        env.watch(self._meet)

    def foresee(self, task: Task) -> bool:
        """Have only the arrival happen, if the task's legs and their instants allow it.

        The log has then the row that it is sent, and gets those of the ends of its legs.

        Returns:
            Whether they do. If not, nothing has changed.
        """
        if not (task.compute_us and task.upload_us) or task.until_polled:
            return False
        if self._left_out:
            self._left_out -= 1
            return False
        env = self._env
        due, sent = env.due, env.now_us
        downloaded = sent + task.download_us
        computed = downloaded + task.compute_us
        arrives = task.due_us
        if computed > CLOCK_END:
            return False
        crowded = downloaded in due or computed in due or arrives in due
        if crowded and not self._finds_room(downloaded, computed, arrives):
            return False
        self._tasks += 1
        number = env.number = task.foreseen = env.number + 1
        loads = downloaded > sent
        buffer = self._buffer
        buffer += _pack(
            sent,
            -number,
            task.client,
            task.number,
            downloaded if loads else -1,
            task.base_version,
            computed,
            task.download_bytes,
            task.steps,
            task.samples,
        )
        if len(buffer) >= self._log.most:
            self._log.full()
        if not loads:
            self._record(DOWNLOADED, task, task.download_bytes)
        task.then = self._then
        entry: Entry = (NORMAL, computed, downloaded, number, task)
        task.pending = entry
        if crowded:
            if loads:
                self._pass(downloaded, task)
            self._pass(computed, task)
            env.put(arrives, entry)
        else:  # the same, without calls
            if loads:
                due[downloaded] = task
            due[computed] = task
            due[arrives] = entry
            heappush(env.instants, arrives)
        return True

    def _finds_room(self, downloaded: int, computed: int, arrives: int) -> bool:
        """Whether legs may end at these instants, at some of which something is due or passes."""
        due = self._env.due
        if isinstance(due.get(arrives), Task | dict):
            self._meet(arrives)
        return not any(isinstance(due.get(at), tuple | list) for at in (downloaded, computed))

    def _pass(self, at_us: int, task: Task) -> None:
        """A leg of the task ends at this instant, at which there is no event."""
        due = self._env.due
        there = due.get(at_us)
        if there is None:
            due[at_us] = task
        elif isinstance(there, dict):
            there[task] = None
        elif isinstance(there, Task):
            due[at_us] = {there: None, task: None}

    def disturb(self, task: Task) -> None:
        """From now on the ends of the task's legs are events."""
        if not task.foreseen:
            return
        self._count_disturbed()
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

    def _count_disturbed(self) -> None:
        if self._left_out:
            return  # what was foreseen before the pause
        self._disturbed += 1
        if self._disturbed > self._tasks // 4 + _TRIED:
            self._left_out, self._tasks, self._disturbed = self._pause, 0, 0
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _end(self, task: Task) -> None:
        """A task arrives that nothing has disturbed."""
        computed = task.due_us - task.upload_us
        due = self._env.due
        due.pop(computed, None)
        due.pop(computed - task.compute_us, None)
        task.foreseen = 0
        self._arrive(task)

    def _strike(self, at_us: int, task: Task) -> None:
        """The task does not pass at this instant."""
        due = self._env.due
        there = due.get(at_us)
        if isinstance(there, dict):
            there.pop(task, None)
            if not there:
                del due[at_us]
        elif there is task:
            del due[at_us]

    def _meet(self, at_us: int) -> None:
        """Something is put at an instant at which foreseen legs end."""
        there = self._env.due.pop(at_us)
        for task in there if isinstance(there, dict) else (there,):
            assert isinstance(task, Task)
            self.disturb(task)
