"""A task's legs: each a timeout, or a transfer that contends for a link.

A leg can be given up, or interrupted and resumed. What follows it is then forgotten, or waits too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from afl_sim.world.clock import Clock
from afl_sim.world.links.contended import Link, Transfer
from afl_sim.world.links.network import ServerLink
from afl_sim.world.tasks.task import Phase, Task

Then = Callable[[Task], None]

Place = tuple[object, ...]
"""How far a task has come: what it is compared by, and no more."""


@dataclass
class Pause:
    """Where a task was interrupted: what is left of its leg, and what follows the leg."""

    since_us: int
    left_us: int
    link: Link | None
    then: Then | None
    recalled: bool = False


class Legs:
    """Begins, gives up, interrupts and resumes the legs of tasks.

    Args:
        env: the clock.
    """

    def __init__(self, env: Clock) -> None:
        self.env = env
        self._paused: dict[Task, Pause] = {}

    def halt(self, task: Task) -> None:
        """Stop working on a task at once; its place on a link is free for others."""
        pending, task.pending = task.pending, None
        if isinstance(pending, Transfer):
            pending.link.withdraw(pending)
        self._paused.pop(task, None)

    def is_paused(self, task: Task) -> bool:
        """Whether the task is interrupted until `resume`."""
        return task in self._paused

    def pause(self, task: Task) -> None:
        """Interrupt the task where it is."""
        pending, task.pending = task.pending, None
        now = self.env.now_us
        if isinstance(pending, Transfer):
            left = pending.link.withdraw(pending)
            pause = Pause(now, left, pending.link, pending.then)
        elif pending is not None:
            pause = Pause(now, task.leg_ends_us - now, None, task.then)
        else:
            pause = Pause(now, 0, None, None)  # it waits for a poll
        self._paused[task] = pause

    def place(self, task: Task) -> Place:
        """Where an interrupted task is; equal if it was interrupted again no further on."""
        pause = self._paused[task]
        return task.phase, task.attempt, pause.then, pause.left_us

    def resume(self, task: Task) -> bool:
        """Go on where the task was interrupted; returns whether it was recalled meanwhile.

        A transfer that waited in line, or was being served, joins the line again.
        """
        pause = self._paused.pop(task)
        now = self.env.now_us
        task.due_us += now - pause.since_us
        if task.phase is Phase.COMPUTING:
            self._go_on_computing(task, pause, now)
        if pause.then is None:
            return pause.recalled
        left = max(1, pause.left_us)
        if pause.link is not None:
            task.pending = pause.link.send(task, left, pause.then)
        else:
            self.put_off(task, left, pause.then)
        return pause.recalled

    def _go_on_computing(self, task: Task, pause: Pause, now: int) -> None:
        """The rest of a computation takes as long as it would have taken without the pause."""
        task.computing_since_us += now - pause.since_us

    def put_off(self, task: Task, delay: int, then: Then) -> None:
        """Go on with the task after ``delay`` microseconds."""
        task.then = then
        task.pending = self.env.end_leg(task, delay)
        task.leg_ends_us = self.env.now_us + delay

    def _cross(self, link: ServerLink, task: Task, work_us: int, then: Then) -> None:
        assert link.queue is not None
        task.pending = link.queue.send(task, work_us, then)
