"""The server in virtual time: every word that a strategy's schedule can say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any, TypeVar, overload

import simpy

from afl_sim.errors import ScheduleError
from afl_sim.world.clock import Done
from afl_sim.world.server.knowledge import ServerKnowledge
from afl_sim.world.server.supervision import Schedule, supervised
from afl_sim.world.server.waiting import Wait
from afl_sim.world.tasks.task import PLAIN, Order, Phase, Task

T = TypeVar("T")

_DRAWN = Order(drawn=True)
_PLAIN = (None, None, False, True, 1.0, 1, None)  # what `dispatch` gets if nothing is asked for


class Server(ServerKnowledge):
    """The server, as a schedule sees it.

    Methods that return a SimPy event are waited for with ``yield``; the others happen at once. What
    the words mean to the author of a strategy is documented in `afl_sim.strategies`, by the
    protocol `ServerView`.

    Args:
        parts: what does the work.
        strategy: whose schedule this is.
        streams: the run's random streams.
        queues: whether clients queue tasks that they are sent while they have one.
    """

    # -- sending and taking back -----------------------------------------------------------------

    @overload
    def dispatch(
        self,
        clients: int,
        *,
        epochs: float | None = None,
        steps: int | None = None,
        until_polled: bool = False,
        retry: bool = True,
        lr_factor: float = 1.0,
        messages: int = 1,
        refresh_after: float | None = None,
    ) -> Task: ...

    @overload
    def dispatch(
        self,
        clients: Iterable[int],
        *,
        epochs: float | None = None,
        steps: int | None = None,
        until_polled: bool = False,
        retry: bool = True,
        lr_factor: float = 1.0,
        messages: int = 1,
        refresh_after: float | None = None,
    ) -> list[Task]: ...

    def dispatch(
        self,
        clients: int | Iterable[int],
        *,
        epochs: float | None = None,
        steps: int | None = None,
        until_polled: bool = False,
        retry: bool = True,
        lr_factor: float = 1.0,
        messages: int = 1,
        refresh_after: float | None = None,
    ) -> Task | list[Task]:
        """Send the current model to a client, or to several in turn; see `ServerView`."""
        if until_polled and self._queues:
            raise ScheduleError(
                "clients that queue tasks cannot be polled: a task that waits for a poll would "
                "keep the others waiting"
            )
        if not (lr_factor > 0 and isfinite(lr_factor)):
            raise ScheduleError(
                f"a task has the lr_factor {lr_factor!r}; expected a number above 0"
            )
        if messages < 1:
            raise ScheduleError(f"a task has {messages!r} messages; expected at least 1")
        if refresh_after is not None:
            self._check_refresh(refresh_after)
            if until_polled:
                raise ScheduleError("a task that waits for a poll cannot ask for a fresh model")
        order = PLAIN
        if (epochs, steps, until_polled, retry, lr_factor, messages, refresh_after) != _PLAIN:
            order = Order(
                epochs,
                steps,
                until_polled,
                retry=retry,
                lr_factor=lr_factor,
                messages=messages,
                refresh_after=refresh_after,
            )
        if isinstance(clients, Iterable):
            return [self._dispatch(client, order) for client in clients]
        return self._dispatch(clients, order)

    def _dispatch(self, client: int, order: Order) -> Task:
        if not self._presence.accepts(client):
            raise ScheduleError(
                f"client {client} cannot be sent a task: it has one, or there is no such client"
            )
        return self._sender.request(client, order)

    def dispatch_many(self, clients: Iterable[int]) -> list[Task]:
        """An older word for `dispatch` of several clients."""
        return self.dispatch(clients)

    def send(self, n: int = 1, *, refresh_after: float | None = None) -> list[Task]:
        """Send the current model to ``n`` `workers`; a failed one is replaced by one drawn anew."""
        order = _DRAWN
        if refresh_after is not None:
            self._check_refresh(refresh_after)
            order = Order(drawn=True, refresh_after=refresh_after)
        sender, found = self._sender, self._presence.workers(n, self._env.now_us)
        if len(found) == 1 and sender.always:  # most often: two calls fewer
            return [sender.send(found[0], order)]
        return [sender.request(client, order) for client in found]

    def _check_refresh(self, share: float) -> None:
        if not getattr(self._strategy, "refreshes", False):
            raise ScheduleError(
                "a task is to ask for a fresh model, which the strategy has to declare: "
                "refreshes = True"
            )
        if not 0 <= share <= 1:
            raise ScheduleError(
                f"a task has the refresh_after {share!r}; expected a share of its steps from 0 to 1"
            )

    def cancel(self, task: Task) -> None:
        """Stop a task: the client is free at once. One that has arrived already is discarded.

        For a task that has failed there is nothing to do.
        """
        if task.in_flight:
            self._sender.cancel(task)
        else:
            self.discard(task)

    def discard(self, task: Task) -> None:
        """Do without an update: now if it has arrived, else as soon as it arrives.

        For a task that has failed there is nothing to do.
        """
        if task.arrived:
            self._inbox.discard(task)
        elif task.in_flight:
            task.unwanted = True
        elif task.phase is not Phase.FAILED:
            raise ScheduleError(f"{task} cannot be discarded")

    def recall(self, task: Task) -> Task:
        """Have the client stop and send what it has done so far; its update arrives as usual.

        A client that is away does so when it is back. A task that has crashed fails now, and so
        does one that was never sent because its client is away. If the update is lost, no other
        task is sent in its place. For a task that has arrived or failed there is nothing to do.
        """
        self._sender.recall(task)
        return task

    def poll(self, client: int, *, repeat_step: bool = False) -> Task:
        """Take what the client has done so far; it goes on from there as its next task.

        Returns the polled task. It arrives once it is uploaded; if the client has crashed, the poll
        shows it, and the task has failed. The next task has the same limit of steps and the
        server's current version as its base. With ``repeat_step`` it begins with the step that the
        poll breaks off, which takes as long as it was drawn to take.
        """
        return self._sender.poll(client, repeat_step)

    # -- waiting ---------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> simpy.Event:
        """Wait ``seconds`` of virtual time; everything else due at that instant happens first."""
        return Done(self._env) if seconds == 0 else self._alarm.after(seconds, "strategy")

    def arrival(self) -> simpy.Event:
        """The next update that no wait has. Only one process at a time may wait for it."""
        return self._inbox.read()

    def arrivals(self) -> list[Task]:
        """Take every update that has arrived and that no wait has."""
        return self._inbox.take_all()

    def wait(
        self, tasks: Iterable[Task], *, first: int | None = None, deadline: float | None = None
    ) -> simpy.Event:
        """Wait for all of the tasks, the first few of them, or at most ``deadline`` seconds.

        The event's value is the list of those that arrived, in order of arrival.

        Raises:
            ScheduleError: another wait that is not over has one of the tasks.
        """
        deadline_us = None if deadline is None else self._alarm.delay_us(deadline, "strategy")
        wait = Wait(self._env, tasks, first, deadline_us, self._idle_waits.free)
        for task in wait.arrived:
            self._inbox.give_to_wait(task)
        return wait

    def wait_idle(self, n: int = 1, among: Sequence[int] | None = None) -> simpy.Event:
        """Wait until at least ``n`` clients, among some or all, are idle and available."""
        return self._idle_waits.wait(n, among)

    def spawn(self, schedule: Schedule) -> simpy.Event:
        """Run another process beside this one; the event is the end of that process."""
        return self._env.process(supervised(lambda: schedule, self._strategy))

    # -- making versions -------------------------------------------------------------------------

    def aggregate(self, updates: Iterable[Task], **context: Any) -> simpy.Event:
        """Make the next version out of updates that have arrived.

        Without aggregation time it happens at once, inside this call. An aggregation of no updates
        makes no version.

        Args:
            updates: the updates to combine; they are passed on in order of arrival.
            context: plain values (the tier, the phase) for the log and the numeric half.
        """
        return self._versions.aggregate(updates, context)
