"""Clients that leave while they have a task."""

from __future__ import annotations

from typing import Literal, Protocol

import simpy

from afl_sim.world import event_kinds
from afl_sim.world.availability.timelines import Availability, returns
from afl_sim.world.clients.fleet import Fleet
from afl_sim.world.clock import Wake
from afl_sim.world.tasks.task import Dispatch, Phase


class Notice(Protocol):
    """What the server does when a client leaves, or is back."""

    def fail(self, dispatch: Dispatch) -> None:
        """The task comes to nothing."""

    def call_back(self, dispatch: Dispatch) -> None:
        """The client stops and sends what it has done."""

    def sharing(self, dispatch: Dispatch) -> list[Dispatch]:
        """The tasks that are at the same client, in the order in which it does them."""

    def record_presence(self, kind: int, client: int) -> None:
        """Log that a client came or left."""


class Churn:
    """Sees to it that a client that leaves mid-task does so.

    A task costs an event only if its client leaves before the task is due. What ends at the very
    microsecond at which a client leaves has ended in time.

    Args:
        env: the SimPy environment.
        availability: when clients are there.
        on_leave: what becomes of the task.
        fleet: which carries it out.
        server: which is told.
        punctual: whether tasks end when they are due, so that those due before need no event.
    """

    def __init__(
        self,
        env: simpy.Environment,
        availability: Availability,
        on_leave: Literal["lost", "paused", "partial"],
        fleet: Fleet,
        server: Notice,
        punctual: bool,
    ) -> None:
        self._env = env
        self._availability = availability
        self._on_leave = on_leave
        self._fleet = fleet
        self._server = server
        self._punctual = punctual

    def watch(self, dispatch: Dispatch) -> None:
        """A client that is there has a task."""
        now = int(self._env.now)
        until = self._availability.state(dispatch.client, now)[1]
        if until is not None and (not self._ends(dispatch) or until < dispatch.due_us):
            wake = Wake(self._env, until - now, dispatch)
            wake.callbacks.append(self._look)

    def _ends(self, dispatch: Dispatch) -> bool:
        """Whether the task ends when it is due, as far as that is known yet."""
        if not self._punctual or dispatch.until_polled:
            return False
        return dispatch.phase >= Phase.COMPUTING or not self._fleet.varies

    def _look(self, event: simpy.Event) -> None:
        dispatch = event.value
        assert isinstance(dispatch, Dispatch)
        if not self._goes_on(dispatch):
            return
        if self._availability.state(dispatch.client, int(self._env.now))[0]:
            self.watch(dispatch)
            return
        self._server.record_presence(event_kinds.UNAVAILABLE, dispatch.client)
        tasks = self._server.sharing(dispatch)
        if self._on_leave != "paused":
            tasks.reverse()  # so that none is begun in the place of one that ends
        for task in tasks:
            if self._goes_on(task):
                self._leave(task)

    def _goes_on(self, dispatch: Dispatch) -> bool:
        """Whether the client is at it: one that is lost is not, and the server's to notice."""
        return dispatch.in_flight and not dispatch.lost and not self._fleet.is_paused(dispatch)

    def _leave(self, dispatch: Dispatch) -> None:
        """What becomes of a task whose client is away from now on."""
        if self._on_leave == "paused":
            self._pause(dispatch)
        elif self._on_leave == "lost":
            self._server.fail(dispatch)
        elif dispatch.pollable:
            self._pause(dispatch)
        elif dispatch.phase is not Phase.UPLOADING:  # else it is sending what it has
            if self._fleet.steps_done(dispatch):
                self._server.call_back(dispatch)
            else:
                self._server.fail(dispatch)

    def _pause(self, dispatch: Dispatch) -> None:
        now = int(self._env.now)
        back = returns(self._availability, dispatch.client, now)
        if back is None:
            self._server.fail(dispatch)
            return
        self._fleet.pause(dispatch)
        timeout = self._env.timeout(back - now, dispatch)
        timeout.callbacks.append(self._resume)

    def _resume(self, event: simpy.Event) -> None:
        dispatch = event.value
        assert isinstance(dispatch, Dispatch)
        if not self._fleet.is_paused(dispatch):
            return  # it was cancelled
        self._server.record_presence(event_kinds.AVAILABLE, dispatch.client)
        if self._fleet.resume(dispatch):
            self._server.call_back(dispatch)
        if dispatch.in_flight:
            self.watch(dispatch)
