"""Processes that wait for idle clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import simpy

from afl_sim.world.availability.outages import Outages
from afl_sim.world.clients.presence import Presence
from afl_sim.world.clock import Clock, Done
from afl_sim.world.tasks.task import Task


class IdleWaits:
    """Wakes the processes that wait for clients to be idle and available.

    Args:
        env: the clock.
        presence: which clients are idle and available.
        outages: when the server is down.
    """

    def __init__(self, env: Clock, presence: Presence, outages: Outages) -> None:
        self._env = env
        self._presence = presence
        self._outages = outages
        self._waits: list[tuple[int, Sequence[int] | None, simpy.Event]] = []
        self._timer_us = -1

    def wait(self, n: int, among: Sequence[int] | None) -> simpy.Event:
        """The event that ``n`` of these clients are idle and available."""
        if self._presence.has(n, self._env.now_us, among):
            return Done(self._env)
        event = self._env.event()
        self._waits.append((n, among, event))
        self._set_timer()
        return event

    def free(self, task: Task) -> None:
        """A task is over: its client is idle again, unless it has another task."""
        if task.freed:
            return
        task.freed = True
        if self._presence.end(task) and self._waits:
            self._wake()

    def free_taken(self, arrival: Any) -> None:
        """`free`, as the callback of an event whose value is the task."""
        task: Task = arrival._value
        if not task.freed:
            task.freed = True
            if self._presence.end(task) and self._waits:
                self._wake()

    def back_us(self) -> int | None:
        """When the next client is back, if a process waits for that."""
        return self._presence.next_back_us() if self._waits else None

    def everyone_is_gone(self) -> bool:
        """Whether all idle clients have left for good."""
        return self._presence.everyone_is_gone(self._env.now_us)

    def _wake(self) -> None:
        """Wake those that have enough clients; the others wait for the next change."""
        now = self._env.now_us
        waits, self._waits = self._waits, []
        for wait in waits:
            n, among, event = wait
            if self._presence.has(n, now, among):
                event.succeed()
            else:
                self._waits.append(wait)
        self._set_timer()

    def _set_timer(self) -> None:
        """Look again when a client comes back, if a process waits for that."""
        back = self._presence.next_back_us()
        now = self._env.now_us
        if not self._waits or back is None or now <= self._timer_us <= back:
            return
        back = self._outages.up_us(back)
        self._timer_us = back
        timeout = self._env.timeout(back - now)
        timeout.callbacks.append(self._on_timer)

    def _on_timer(self, _: simpy.Event) -> None:
        self._timer_us = -1
        self._wake()
