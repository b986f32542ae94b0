"""The virtual clock: the order of what happens at one instant.

At equal times SimPy orders events by priority, then by insertion. What the world does (a download
ends, an update arrives, an evaluation is due) has SimPy's normal priority. A server that slept or
set a deadline wakes after all of it (`Wake`), so an arrival due exactly at a deadline counts and an
evaluation due at the instant of an aggregation sees the model before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from heapq import heapify, heappop, heappush
from typing import Any, Final

import simpy
from simpy.core import EmptySchedule
from simpy.events import NORMAL, EventPriority

from afl_sim.world.tasks.task import Entry, Task

_AFTER_WORLD: Final = EventPriority(2)  # SimPy has 0 (urgent) and 1 (normal)


class Clock(simpy.Environment):
    """SimPy's environment with a quicker queue; the order of events is SimPy's.

    The queue is a heap of instants, which are plain integers, and a table of what is due at each. A
    task may be due itself, at the end of a leg. This takes neither an event nor a callback.

    Attributes:
        now_us: the clock.
        due: what is due at each later instant: one entry, or a list of them. Or what passes then
            without being an event: a task, or a dictionary of tasks (`watch`).
        instants: a heap of the instants at which something is due, and of others.
        number: that of the latest entry.
    """

    def __init__(self) -> None:
        super().__init__(initial_time=0)
        self.now_us = 0
        self.due: dict[int, Entry | list[Entry] | Task | dict[Task, None]] = {}
        self.instants: list[int] = []
        self._here: list[Entry] = []  # a heap: what is left to do at this instant
        self._next: simpy.Event | None = None  # what is left, if it is this event alone
        self.number = 0
        self._paused = False
        self._meet: Callable[[int], None] = _nobody

    def watch(self, meet: Callable[[int], None]) -> None:
        """Call ``meet`` with an instant before an event is put where `due` has tasks that pass.

        It takes them out of `due`.
        """
        self._meet = meet

    def schedule(
        self, event: simpy.Event, priority: EventPriority = NORMAL, delay: float = 0
    ) -> None:
        """Have an event happen after ``delay`` microseconds, a whole number."""
        now = self.now_us
        if self._next is not None and not delay:
            self._line_up()
        number = self.number = self.number + 1
        entry: Entry = (priority, now, 0, number, event)
        if delay:
            self.put(int(now + delay), entry)
        elif self._here:
            heappush(self._here, entry)
        else:
            self._here.append(entry)

    def follow(self, event: simpy.Event) -> None:
        """Have an event happen at this instant, as `schedule` does.

        Most often nothing else is left to do at it. Then the event needs no place in a queue.
        """
        if self._here or self._next is not None:
            self.schedule(event)
        else:
            self._next = event

    def _line_up(self) -> None:
        """Give the next event its place in the queue, since others may come before it."""
        event, self._next = self._next, None
        number = self.number = self.number + 1
        self._here.append((NORMAL, self.now_us, 0, number, event))

    def end_leg(self, task: Task, delay: int) -> Entry:
        """Have a leg of the task end after ``delay`` microseconds.

        Unless `Task.pending` is another entry by then, `Task.then` is called.

        Returns:
            The entry, which is to become `Task.pending`.
        """
        now = self.now_us
        if self._next is not None and not delay:
            self._line_up()
        number = self.number = self.number + 1
        entry: Entry = (NORMAL, now, 0, number, task)
        if delay:
            self.put(now + delay, entry)
        else:
            heappush(self._here, entry)
        return entry

    def withdraw(self, at_us: int, number: int) -> None:
        """Take back the entry of this number, which is due at a later instant."""
        there = self.due[at_us]
        left: list[Entry] = []
        if isinstance(there, list):
            left = [each for each in there if each[3] != number]
        if left:
            self.due[at_us] = left
        else:
            del self.due[at_us]

    def more_than(self, entries: int) -> bool:
        """Whether more entries than these are due."""
        found = len(self._here) + (self._next is not None)
        for there in self.due.values():
            if found > entries:
                break
            if isinstance(there, list):
                found += len(there)
            elif isinstance(there, tuple):
                found += 1
        return found > entries

    def peek(self) -> float:
        """The instant of the next event; infinite if there is none."""
        if self._here or self._next is not None:
            return self._now
        instants, due = self.instants, self.due
        while instants and not isinstance(due.get(instants[0]), tuple | list):
            heappop(instants)
        return instants[0] if instants else math.inf

    def step(self) -> None:
        """Let the next event happen.

        Raises:
            EmptySchedule: there is none.
        """
        if not self.turn(math.inf):
            raise EmptySchedule

    def turn(self, end: float, most: int = 1) -> int:
        """Let the next events happen, as far as they are due before ``end``.

        Args:
            end: the first instant that is not reached.
            most: how many events. There may be fewer, even if more are due: see `pause`.

        Returns:
            How many there were.
        """
        self._paused = False
        for done in range(most):
            if self._paused:
                return done
            event: Any = self._next
            if event is not None:
                self._next = None
            else:
                entry = heappop(self._here) if self._here else self._move_on(end)
                if entry is None:
                    return done
                event = entry[4]
                if type(event) is Task:
                    if event.pending is entry:
                        event.then(event)  # type: ignore[misc]
                    continue
            callbacks, event.callbacks = event.callbacks, None
            for callback in callbacks:
                callback(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise type(event._value)(*event._value.args) from event._value  # as SimPy does
        return most

    def pause(self) -> None:
        """Have `turn` return after the event that is happening."""
        self._paused = True

    def put(self, at_us: int, entry: Entry) -> None:
        """Put an entry at a later instant."""
        there = self.due.get(at_us)
        if there is None:
            self.due[at_us] = entry
            heappush(self.instants, at_us)
        elif isinstance(there, list):
            there.append(entry)
        elif isinstance(there, tuple):
            self.due[at_us] = [there, entry]
        else:
            self._meet(at_us)
            self.put(at_us, entry)

    def _move_on(self, end: float) -> Entry | None:
        """Move on to the next instant, if it is before ``end``; returns what comes first then."""
        instants = self.instants
        while instants and instants[0] < end:
            at_us = heappop(instants)
            there = self.due.pop(at_us, None)
            if isinstance(there, tuple):
                self._now = self.now_us = at_us
                return there
            if isinstance(there, list):
                self._now = self.now_us = at_us
                heapify(there)
                self._here = there
                return heappop(there)
            if there is not None:  # what was due was withdrawn
                self.due[at_us] = there
        return None


def _nobody(at_us: int) -> None:
    """Nobody wants to know."""


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
        env: the clock.
    """

    def __init__(self, env: Clock) -> None:
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
        return not self._env.more_than(self._pending)
