"""Clients that leave while they have a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import simpy

from afl_sim.world import event_kinds
from afl_sim.world.availability.protocol import Availability
from afl_sim.world.availability.timelines import returns
from afl_sim.world.clients.fleet import Fleet
from afl_sim.world.clients.legs import Place
from afl_sim.world.clock import Clock, Wake
from afl_sim.world.tasks.task import Phase, Task

OnLeave = Literal["lost", "paused", "partial"]


@dataclass(frozen=True)
class Leaving:
    """Clients that leave while they have a task.

    Attributes:
        availability: when clients are available; those that finish their tasks first never leave.
        on_leave: what becomes of the task of a client.
    """

    availability: Availability
    on_leave: Callable[[int], OnLeave]


class Notice(Protocol):
    """What the server does when a client leaves, or is back."""

    def fail(self, task: Task) -> None:
        """The task has failed."""

    def call_back(self, task: Task) -> None:
        """The client stops and sends what it has done."""

    def sharing(self, task: Task) -> list[Task]:
        """The tasks that are at the same client, in the order in which it does them."""

    def record_presence(self, kind: int, client: int) -> None:
        """Log that a client came or left."""


class Stays:
    """How often tasks were interrupted, one time after the other, where they were before."""

    def __init__(self) -> None:
        self._last: dict[Task, tuple[Place, int]] = {}

    def note(self, task: Task, place: Place) -> None:
        """A task was interrupted there."""
        before = self._last.get(task)
        in_vain = before[1] + 1 if before is not None and before[0] == place else 0
        self._last[task] = place, in_vain

    def in_vain(self, task: Task) -> int:
        """For how many stays of its client the task has got no further."""
        last = self._last.get(task)
        return 0 if last is None else last[1]


class Churn:
    """Interrupts or ends the tasks of clients that leave.

    A task costs an event only if its client leaves before the task is due. A task that ends in the
    microsecond in which its client leaves has ended in time.

    Args:
        env: the clock.
        leaving: when clients leave, and what becomes of their tasks.
        fleet: the clients.
        server: which is told.

    Attributes:
        stays: how the tasks of clients that come and go get on, while that is counted.
        cut_short: how many tasks have been lost because their clients left.
        last_cut: the last of them, and how long its client was there for it, in microseconds.
    """

    def __init__(self, env: Clock, leaving: Leaving, fleet: Fleet, server: Notice) -> None:
        self._env = env
        self._availability = leaving.availability
        self._on_leave = leaving.on_leave
        self._fleet = fleet
        self._server = server
        self._punctual = fleet.punctual  # so that tasks due before need no event
        self.stays: Stays | None = None
        self.cut_short = 0
        self.last_cut: tuple[Task, int] | None = None

    def watch(self, task: Task) -> None:
        """Look at the task when its client leaves, if it may not have ended by then."""
        now = self._env.now_us
        until = self._availability.state(task.client, now)[1]
        if until is not None and (not self._ends(task) or until < task.due_us):
            wake = Wake(self._env, until - now, task)
            wake.callbacks.append(self._look)

    def _ends(self, task: Task) -> bool:
        """Whether the task ends when it is due, as far as that is known yet."""
        if not self._punctual or task.until_polled:
            return False
        return task.phase >= Phase.COMPUTING or not self._fleet.varies(task.client)

    def _look(self, event: simpy.Event) -> None:
        task = event.value
        assert isinstance(task, Task)
        if not self._goes_on(task):
            return
        if self._availability.state(task.client, self._env.now_us)[0]:
            self.watch(task)
            return
        self._server.record_presence(event_kinds.UNAVAILABLE, task.client)
        tasks = self._server.sharing(task)
        if self._on_leave(task.client) != "paused":
            tasks.reverse()  # so that no queued task begins because one before it ends
        for task in tasks:
            if self._goes_on(task):
                self._leave(task)

    def _goes_on(self, task: Task) -> bool:
        """Whether the client works on the task; if that is lost, the server has yet to notice."""
        return task.in_flight and not task.lost and not self._fleet.is_paused(task)

    def _leave(self, task: Task) -> None:
        """What becomes of a task whose client is away from now on."""
        on_leave = self._on_leave(task.client)
        if on_leave == "paused":
            self._pause(task)
        elif on_leave == "lost":
            self._lose(task)
        elif task.pollable:
            self._pause(task)
        elif task.phase is not Phase.UPLOADING:  # else it is sending what it has
            if self._fleet.steps_done(task):
                self._server.call_back(task)
            else:
                self._lose(task)

    def _lose(self, task: Task) -> None:
        self.cut_short += 1
        self.last_cut = task, self._env.now_us - task.sent_us
        self._server.fail(task)

    def _pause(self, task: Task) -> None:
        now = self._env.now_us
        back = returns(self._availability, task.client, now)
        if back is None:
            self._lose(task)
            return
        self._fleet.pause(task)
        if self.stays is not None:
            self.stays.note(task, self._fleet.place(task))
        timeout = self._env.timeout(back - now, task)
        timeout.callbacks.append(self._resume)

    def _resume(self, event: simpy.Event) -> None:
        task = event.value
        assert isinstance(task, Task)
        if not self._fleet.is_paused(task):
            return  # it was cancelled
        self._server.record_presence(event_kinds.AVAILABLE, task.client)
        if self._fleet.resume(task):
            self._server.call_back(task)
        if task.in_flight:
            self.watch(task)
