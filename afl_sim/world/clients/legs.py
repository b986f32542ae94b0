"""A task's legs: each a timeout, or a transfer that contends for a link.

A leg can be given up, or interrupted and resumed; what it was to be followed by is then forgotten,
or waits with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import simpy

from afl_sim.world.links.contended import Link, Transfer
from afl_sim.world.links.network import ServerLink
from afl_sim.world.tasks.task import Dispatch, Phase

Then = Callable[[Dispatch], None]


@dataclass
class Pause:
    """Where a task was interrupted: what is left of its leg, and what follows that."""

    since_us: int
    left_us: int
    link: Link | None
    then: Then | None
    recalled: bool = False


class Legs:
    """Begins, gives up, interrupts and resumes the legs of tasks.

    Args:
        env: the SimPy environment; its clock counts microseconds.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self._paused: dict[Dispatch, Pause] = {}

    def halt(self, dispatch: Dispatch) -> None:
        """Stop working on a task at once; its place on a link is free for others."""
        pending, dispatch.pending = dispatch.pending, None
        if isinstance(pending, Transfer):
            pending.link.withdraw(pending)
        self._paused.pop(dispatch, None)

    def is_paused(self, dispatch: Dispatch) -> bool:
        """Whether the task is interrupted until `resume`."""
        return dispatch in self._paused

    def pause(self, dispatch: Dispatch) -> None:
        """Interrupt the task where it is."""
        pending, dispatch.pending = dispatch.pending, None
        now = int(self.env.now)
        if isinstance(pending, Transfer):
            left = pending.link.withdraw(pending)
            pause = Pause(now, left, pending.link, pending.then)
        elif pending is not None:
            pause = Pause(now, dispatch.leg_ends_us - now, None, dispatch.then)
        else:
            pause = Pause(now, 0, None, None)  # it waits for a poll
        self._paused[dispatch] = pause

    def resume(self, dispatch: Dispatch) -> bool:
        """Go on where the task was interrupted; returns whether it was recalled meanwhile.

        A transfer that waited in line, or was being served, joins the line again.
        """
        pause = self._paused.pop(dispatch)
        now = int(self.env.now)
        dispatch.due_us += now - pause.since_us
        if dispatch.phase is Phase.COMPUTING:
            self._go_on_computing(dispatch, pause, now)
        if pause.then is None:
            return pause.recalled
        left = max(1, pause.left_us)
        if pause.link is not None:
            dispatch.pending = pause.link.send(dispatch, left, pause.then)
        else:
            self.put_off(dispatch, left, pause.then)
        return pause.recalled

    def _go_on_computing(self, dispatch: Dispatch, pause: Pause, now: int) -> None:
        """What is left of a computation takes as long as it would have taken."""
        dispatch.computing_since_us += now - pause.since_us

    def put_off(self, dispatch: Dispatch, delay: int, then: Then) -> None:
        """Go on with the task after so many microseconds."""
        timeout = self.env.timeout(delay, dispatch)
        timeout.callbacks.append(_go_on)  # set until it is processed
        dispatch.pending = timeout
        dispatch.leg_ends_us = int(self.env.now) + delay
        dispatch.then = then

    def _cross(self, link: ServerLink, dispatch: Dispatch, work_us: int, then: Then) -> None:
        assert link.queue is not None
        dispatch.pending = link.queue.send(dispatch, work_us, then)


def _go_on(event: simpy.Event) -> None:
    """A leg is over, unless the task was cancelled or recalled meanwhile."""
    dispatch = event.value
    assert isinstance(dispatch, Dispatch)
    if dispatch.pending is event:
        assert dispatch.then is not None
        dispatch.then(dispatch)
