"""The virtual clock: the order of what happens at one instant.

At equal times SimPy orders events by priority, then by insertion. What the world does (a download
ends, an update arrives, an evaluation is due) has SimPy's normal priority. A server that slept or
set a deadline wakes after all of it (`Wake`), so an arrival due exactly at a deadline counts and an
evaluation due at the instant of an aggregation sees the model before it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import simpy
from simpy.events import EventPriority

_AFTER_WORLD: Final = EventPriority(2)  # SimPy has 0 (urgent) and 1 (normal)


class Wake(simpy.Event):
    """A timeout that comes after all that clients and links do at the same instant."""

    def __init__(self, env: simpy.Environment, delay_us: int, value: Any = None) -> None:
        super().__init__(env)
        self._ok = True
        self._value = value
        env.schedule(self, priority=_AFTER_WORLD, delay=delay_us)


class Done(simpy.Event):
    """An event that has happened already: a process that yields it goes on at once."""

    def __init__(self, env: simpy.Environment, value: Any = None) -> None:
        super().__init__(env)
        self._ok = True
        self._value = value
        self.callbacks = None  # type: ignore[assignment]  # SimPy's mark of a processed event


class Background:
    """Processes that follow the clock alone, and must end once nothing else can happen.

    Args:
        env: the SimPy environment.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._pending = 0

    def sleep(self, delay_us: int, *, first: bool = False) -> Generator[simpy.Event, None, None]:
        """Wait, as part of the background; for ``yield from``.

        Args:
            delay_us: microseconds.
            first: go on before everything else that is due at that instant.
        """
        event = self._env.event()
        event._ok, event._value = True, None
        self._env.schedule(event, simpy.events.URGENT if first else simpy.events.NORMAL, delay_us)
        self._pending += 1
        yield event
        self._pending -= 1

    @property
    def alone(self) -> bool:
        """Whether nothing is due but the background."""
        return len(self._env._queue) <= self._pending  # SimPy has no public method for this
