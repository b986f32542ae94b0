"""Clients that queue tasks: each computes one at a time, first in, first out.

Only computations queue. A task downloads its model while others are computed, joins the queue after
that, and uploads its update while the next one is computed.
"""

from __future__ import annotations

from collections import deque

from afl_sim.world import event_kinds
from afl_sim.world.availability.outages import Outages
from afl_sim.world.availability.protocol import Availability
from afl_sim.world.clients.durations import Durations
from afl_sim.world.clients.fleet import Fleet
from afl_sim.world.clients.idle import IdleClients
from afl_sim.world.clients.journeys import Reports
from afl_sim.world.clients.presence import Presence
from afl_sim.world.clients.selection import Selector
from afl_sim.world.clock import Clock
from afl_sim.world.tasks.faults import AnyFaults
from afl_sim.world.tasks.task import Phase, Task
from afl_sim.world.tasks.workload import Workload


class QueueingFleet(Fleet):
    """Takes tasks through their legs, and through their client's queue before they are computed.

    A task that has to wait there has a ``queued`` row, and a ``started`` one when its turn comes. A
    client without tasks has no queue.
    """

    def __init__(
        self,
        env: Clock,
        workload: Workload,
        durations: Durations,
        outages: Outages,
        faults: AnyFaults | None,
        reports: Reports,
    ) -> None:
        super().__init__(env, workload, durations, outages, faults, reports)
        self._queues: dict[int, deque[Task]] = {}  # the first is the one that is computed

    @property
    def punctual(self) -> bool:
        """False: a task may have to wait for others."""
        return False

    def plan(self, task: Task) -> None:
        """The task is due after those before it, at the earliest."""
        self.durations.plan(task)
        queue = self._queues.get(task.client)
        if queue:
            free_us = queue[-1].due_us - _upload_us(queue[-1])
            begin_us = task.due_us - _upload_us(task) - task.compute_us
            task.due_us += max(0, free_us - begin_us)

    def halt(self, task: Task) -> None:
        """Stop working on a task at once; its place on a link or in a queue is free for others."""
        super().halt(task)
        self._leave(task)

    def resume(self, task: Task) -> bool:
        """Go on where the task was interrupted; its turn may have come meanwhile."""
        recalled = super().resume(task)
        if task.phase is Phase.QUEUED and self._queues[task.client][0] is task:
            self._begin(task)
        return recalled

    def _downloaded(self, task: Task) -> None:
        self._record(event_kinds.DOWNLOADED, task, task.download_bytes)
        queue = self._queues.setdefault(task.client, deque())
        queue.append(task)
        if len(queue) == 1:
            self._start_computing(task)
        else:
            task.phase = Phase.QUEUED
            task.queued_since_us = self.env.now_us
            task.pending = None
            self._record(event_kinds.QUEUED, task, 0)

    def _start_uploading(self, task: Task) -> None:
        super()._start_uploading(task)
        self._leave(task)

    def _leave(self, task: Task) -> None:
        """Take the task out of its client's queue. If it was the first, the next one begins."""
        queue = self._queues.get(task.client)
        if queue is None or task not in queue:
            return
        self._note_waiting(task)
        first = queue[0] is task
        queue.remove(task)
        if not queue:
            del self._queues[task.client]
        elif first and not self.is_paused(queue[0]):
            self._begin(queue[0])

    def _begin(self, task: Task) -> None:
        self._note_waiting(task)
        self._record(event_kinds.STARTED, task, 0)
        self._start_computing(task)

    def _note_waiting(self, task: Task) -> None:
        if task.queued_since_us >= 0:
            task.queued_us = self.env.now_us - task.queued_since_us
            task.queued_since_us = -1


class QueueingPresence(Presence):
    """All available clients can be drawn and sent tasks, whether or not they have any.

    Args:
        idle: the clients to draw from; those at work stay among them.
        availability: when clients are available; None is always.
        selector: chooses among them; None chooses uniformly.
    """

    def __init__(
        self, idle: IdleClients, availability: Availability | None, selector: Selector | None
    ) -> None:
        super().__init__(idle, availability, selector)
        self._tasks: dict[int, dict[Task, None]] = {}  # client -> its tasks, oldest first

    @property
    def idle(self) -> int:
        """The number of clients without a task, available or not."""
        return self._idle.population - len(self._tasks)

    def accepts(self, client: int) -> bool:
        """Whether the client can be sent a task: all clients can."""
        return 0 <= client < self._idle.population

    def task(self, client: int) -> Task | None:
        """The oldest of the client's tasks, if it has any."""
        return next(iter(self._tasks.get(client, ())), None)

    def sharing(self, task: Task) -> list[Task]:
        """The tasks of the same client that have been sent, oldest first."""
        tasks = self._tasks.get(task.client, ())
        return [task for task in tasks if task.phase is not Phase.WAITING]

    def start(self, client: int, task: Task) -> None:
        """The client has one more task."""
        self._tasks.setdefault(client, {})[task] = None

    def end(self, task: Task) -> bool:
        """A task is over; whether that leaves its client idle."""
        tasks = self._tasks.get(task.client, {})
        if task not in tasks:
            return False
        del tasks[task]
        if not tasks:
            del self._tasks[task.client]
        return not tasks


def _upload_us(task: Task) -> int:
    return task.upload_us + task.upload_work_us
