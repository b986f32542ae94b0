"""The server in virtual time: every word that a strategy's schedule can say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, overload

import simpy

from afl_sim.errors import ScenarioError, ScheduleError
from afl_sim.user_code import code_of
from afl_sim.world import event_kinds
from afl_sim.world.clock import MICROSECONDS, Done
from afl_sim.world.server.aggregating import Aggregating, Schedule
from afl_sim.world.server.waiting import Wait
from afl_sim.world.tasks.task import Order, Phase, Task

_DRAWN = Order(drawn=True)


class Server(Aggregating):
    """The server, as a schedule sees it.

    Methods that return a SimPy event are waited for with ``yield``; the others happen at once.

    Attributes:
        version: the number of global models made so far; a client downloads the current one.
        counts: what has happened to the tasks so far.
    """

    # -- what it knows ---------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual time in seconds."""
        return self._env.now / MICROSECONDS

    @property
    def clients(self) -> int:
        """The number of clients in the population."""
        return self._idle.population

    @property
    def idle(self) -> int:
        """The number of clients that have no task, whether or not they can be reached."""
        return self._presence.idle

    @property
    def in_flight(self) -> tuple[Task, ...]:
        """The tasks that have not arrived, oldest first; then those that wait for their client."""
        return (*self._flying, *self._waiting)

    def task(self, client: int) -> Task | None:
        """The task that the client has, if any; where it queues several, the oldest."""
        return self._presence.task(client)

    def staleness(self, task: Task) -> int:
        """The staleness the update would have if it were aggregated now; not sent yet, none."""
        return 0 if task.phase is Phase.WAITING else self.version - task.base_version

    def is_gone(self, client: int) -> bool:
        """Whether the client has left for good."""
        return self._presence.back_us(client, int(self._env.now)) is None

    def is_paused(self, task: Task) -> bool:
        """Whether the task stands still because its client is away."""
        return self.fleet.is_paused(task)

    def expected_seconds(self, client: int) -> float:
        """The mean round trip of the client's tasks, as a profile of the fleet would measure it.

        Raises:
            ScenarioError: the tasks have no mean, because a law has too heavy a tail.
        """
        seconds = self.fleet.expected_seconds(client)
        if not seconds < math.inf:
            raise ScenarioError(
                f"clients: client {client}'s tasks take a time without a finite mean, so that it "
                "has no speed to go by; expected laws that have one"
            )
        return seconds

    def uniform(self, purpose: str, client: int = 0, k: int = 0) -> float:
        """The strategy's own randomness: draw ``k`` on ``client`` of a named stream, in (0, 1)."""
        return self._streams.uniform(f"strategy.{purpose}", client, k)

    def result(self, task: Task) -> Any:
        """What a schedule may know of an update that has arrived: its loss, no tensor.

        A run that was broken off is given the same again when its schedule is replayed.

        Raises:
            ScheduleError: unless the strategy declares ``reads_results``.
        """
        self._check_readable([task])
        return self._learner.result(task, self.version + 1)

    def measure(self, function: Callable[[Sequence[Any]], Any], updates: Iterable[Task]) -> Any:
        """``function`` of the numbers (`afl_sim.Update`) of updates that have arrived.

        For what the loss alone does not say, such as the norm of the mean update. The function is
        pure and gives plain numbers or words, which a replay of the schedule is given again.

        Raises:
            ScheduleError: unless the strategy declares ``reads_results``.
            StrategyError: the function raised an exception, or gave a tensor.
        """
        measured = list(updates)
        self._check_readable(measured)
        return self._learner.measure(function, measured, self.version + 1)

    def _check_readable(self, updates: Iterable[Task]) -> None:
        if not self._reads_results:
            raise ScheduleError("a schedule that reads results must declare reads_results = True")
        for task in updates:
            if not task.arrived:
                raise ScheduleError(f"{task} has no result to read: it has not arrived")

    # -- choosing clients ------------------------------------------------------------------------

    def pick(self, n: int, among: Sequence[int] | None = None) -> list[int]:
        """``n`` clients that are idle and there, uniformly at random; fewer where fewer are.

        Where clients queue tasks, those that have one can be picked as well, here and below.
        The scenario's `server.selection` may choose otherwise, here and wherever clients are drawn
        but in `sample`.
        """
        return self._presence.draw(n, int(self._env.now), among)

    def pick_one(self) -> int:
        """An older word for one of `workers`; it raises an error if no client is idle."""
        return self._presence.one(int(self._env.now))

    def workers(self, n: int) -> list[int]:
        """``n`` idle clients to keep busy: `pick`, and where fewer are there, who is back first."""
        return self._presence.workers(n, int(self._env.now))

    def sample(self, n: int) -> list[int]:
        """``n`` clients out of all that are there, idle or not, uniformly at random."""
        return self._presence.sample(n, int(self._env.now))

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
    ) -> list[Task]: ...

    def dispatch(
        self,
        clients: int | Iterable[int],
        *,
        epochs: float | None = None,
        steps: int | None = None,
        until_polled: bool = False,
        retry: bool = True,
    ) -> Task | list[Task]:
        """Send the current model to a client, or to several in turn, and have them train.

        A client gets the model that is current when it is available. If it has left for good, the
        task that is returned has failed already. If clients queue tasks, a busy client can be sent
        another task: it computes them one at a time, first in, first out.

        Args:
            clients: the index of an idle client, or of several.
            epochs, steps: the amount of work, in place of the scenario's.
            until_polled: the client does at most ``steps`` steps and keeps the result until `poll`.
            retry: if the task fails and nothing waits for it, the client is sent another.

        Returns:
            The task; for several clients, the list of their tasks.
        """
        order = Order(epochs, steps, until_polled, retry=retry)
        if isinstance(clients, int) or not isinstance(clients, Iterable):
            return self._dispatch(clients, order)
        return [self._dispatch(client, order) for client in clients]

    def _dispatch(self, client: int, order: Order) -> Task:
        if not self._presence.accepts(client):
            raise ScheduleError(f"client {client} cannot be sent a task: it has one, or is unknown")
        if order.until_polled and self._queues:
            raise ScheduleError("clients that queue tasks cannot be polled: none would have a turn")
        return self._request(client, order)

    def dispatch_many(self, clients: Iterable[int]) -> list[Task]:
        """An older word for `dispatch` of several clients."""
        return self.dispatch(clients)

    def send(self, n: int = 1) -> list[Task]:
        """Send the current model to ``n`` `workers`; who fails is replaced by one drawn anew."""
        return [self._request(client, _DRAWN) for client in self.workers(n)]

    def cancel(self, task: Task) -> None:
        """Stop a task: the client is free at once. One that has arrived already is discarded.

        A task that has failed needs no more stopping.
        """
        if not task.in_flight:
            self.discard(task)
            return
        if task.phase is Phase.WAITING:
            self._withdraw(task, Phase.CANCELLED)
            return
        self._end_flight(task)
        task.phase = Phase.CANCELLED
        self.counts.cancelled += 1
        self.record(event_kinds.CANCELLED, task, 0)
        self.fleet.halt(task)
        self._learner.drop(task)
        self._take(task)
        if task.waiter is not None:
            task.waiter.give_up(task)

    def discard(self, task: Task) -> None:
        """Do without an update: now if it has arrived, else as soon as it arrives.

        A task that has failed needs no more doing without.
        """
        if task.arrived:
            self._throw_away(task)
        elif task.in_flight:
            task.unwanted = True
        elif task.phase is not Phase.FAILED:
            raise ScheduleError(f"{task} cannot be discarded")

    def recall(self, task: Task) -> Task:
        """Have the client stop and send what it has done so far; its update arrives as usual.

        A client that is away does so when it is back. A task that has crashed fails now, as one
        does that was never sent because its client is away. If the update is lost, nobody is sent
        another task in its place. A task that has arrived or failed needs no more recalling.
        """
        if task.phase is Phase.WAITING:
            self._withdraw(task, Phase.FAILED)
        else:
            task.order = replace(task.order, retry=False)
            self.call_back(task)
        return task

    def poll(self, client: int) -> Task:
        """Take what the client has done so far; it goes on from there as its next task.

        Returns the polled task, which arrives once it is uploaded, or has failed where a crash of
        the client comes to light. Its successor has the same limit of steps and the server's
        current version as its base.
        """
        polled = self._presence.task(client)
        if polled is None or not polled.until_polled or polled.phase is Phase.WAITING:
            raise ScheduleError(f"client {client} has no task that waits for a poll")
        if not self._presence.is_there(client, int(self._env.now)):
            raise ScheduleError(f"client {client} is away and cannot be polled")
        self.recall(polled)
        self._send(client, Order(steps=polled.limit, until_polled=True), after=polled)
        return polled

    # -- waiting ---------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> simpy.Event:
        """Wait ``seconds`` of virtual time; what else is due at that instant happens first."""
        if seconds == 0:
            return Done(self._env)
        return self._wake(seconds, "strategy")

    def arrival(self) -> simpy.Event:
        """The next update that nothing else waits for. One process at a time may ask."""
        if self._reader is not None:
            raise ScheduleError("two processes wait for an arrival; only one may read the inbox")
        event = self._env.event()
        event.callbacks.append(self._take_value)
        if self._inbox:
            first = next(iter(self._inbox))
            del self._inbox[first]
            event.succeed(first)
        else:
            self._reader = event
        return event

    def arrivals(self) -> list[Task]:
        """Take every update that has arrived and that nothing waits for."""
        arrived = list(self._inbox)
        self._inbox.clear()
        for task in arrived:
            self._take(task)
        return arrived

    def wait(
        self,
        tasks: Iterable[Task],
        *,
        first: int | None = None,
        deadline: float | None = None,
    ) -> simpy.Event:
        """Wait for all of the tasks, the first few of them, or at most ``deadline`` seconds.

        The event's value is the list of those that arrived, in order of arrival.

        Raises:
            ScheduleError: another wait that is not over has one of the tasks.
        """
        deadline_us = None if deadline is None else self._delay(deadline, "strategy")
        wait = Wait(self._env, tasks, first, deadline_us, self._take)
        for task in wait.arrived:
            self._inbox.pop(task, None)
        return wait

    def wait_idle(self, n: int = 1, among: Sequence[int] | None = None) -> simpy.Event:
        """Wait until at least ``n`` clients, of some or of all, are idle and there."""
        if self._presence.has(n, int(self._env.now), among):
            return Done(self._env)
        event = self._env.event()
        self._idle_waits.append((n, among, event))
        self._set_idle_timer()
        return event

    def spawn(self, schedule: Schedule) -> simpy.Event:
        """Run another process beside this one; the event comes when it ends."""
        return self._env.process(self._supervised(schedule))

    def _supervised(self, schedule: Schedule) -> Schedule:
        with code_of(self.strategy, "schedule"):
            return (yield from schedule)
