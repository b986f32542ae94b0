"""Where updates arrive, and who gets them."""

from __future__ import annotations

from collections.abc import Callable

import simpy

from afl_sim.errors import ScheduleError
from afl_sim.world.clock import Clock
from afl_sim.world.learner import Learner, follows
from afl_sim.world.server.idle_waits import IdleWaits
from afl_sim.world.server.ledger import Ledger
from afl_sim.world.tasks.task import Task


class Inbox:
    """Hands each update to the process that waits for it, or keeps it.

    An update goes to the wait that has its task, else to the process that reads the inbox, else it
    stays here. Its client is idle again when the update is taken.

    Args:
        env: the clock.
        ledger: counts and logs.
        learner: the numeric half of the run.
        idle_waits: is told whose client is idle again.
        listener: called with every update as it arrives; None if nobody listens.
    """

    def __init__(
        self,
        env: Clock,
        ledger: Ledger,
        learner: Learner,
        idle_waits: IdleWaits,
        listener: Callable[[Task], None] | None,
    ) -> None:
        self._env = env
        self._ledger = ledger
        self._learner = learner
        self._hear = learner.arrive if follows(learner) else None
        self._idle_waits = idle_waits
        self._taken = idle_waits.free_taken  # made once
        self._listener = listener
        self._kept: dict[Task, None] = {}  # in order of arrival
        self._reader: simpy.Event | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def deliver(self, task: Task) -> None:
        """An update has reached the server."""
        self._ledger.arrive(task)
        if self._hear is not None:
            self._hear(task)
        if self._listener is not None:
            self._listener(task)
        waiter = task.waiter
        if task.unwanted:
            self.discard(task)
            if waiter is not None:
                waiter.give_up(task)
        elif waiter is not None and not waiter.over:
            waiter.arrive(task)
        elif self._reader is not None:
            reader, self._reader = self._reader, None
            reader._ok, reader._value = True, task  # as `succeed` does, whose checks hold here
            self._env.follow(reader)
        else:
            self._kept[task] = None

    def read(self) -> simpy.Event:
        """The event that there is an update; its value is the task.

        Raises:
            ScheduleError: another process waits for the same.
        """
        if self._reader is not None:
            raise ScheduleError("two processes wait for an arrival; only one may read the inbox")
        event = simpy.Event(self._env)
        event.callbacks.append(self._taken)
        if self._kept:
            first = next(iter(self._kept))
            del self._kept[first]
            event.succeed(first)
        else:
            self._reader = event
        return event

    def take_all(self) -> list[Task]:
        """Take every update that is here."""
        arrived = list(self._kept)
        self._kept.clear()
        for task in arrived:
            self._idle_waits.free(task)
        return arrived

    def give_to_wait(self, task: Task) -> None:
        """A wait has the update now."""
        self._kept.pop(task, None)

    def take(self, task: Task) -> None:
        """Take one update, whether it is here or was taken before."""
        self._kept.pop(task, None)
        self._idle_waits.free(task)

    def discard(self, task: Task) -> None:
        """Do without an update that has arrived."""
        self._kept.pop(task, None)
        self._ledger.discard(task)
        self._learner.drop(task)
        self._idle_waits.free(task)
