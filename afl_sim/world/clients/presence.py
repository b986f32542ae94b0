"""Which idle clients are available. A client is asked about only when it is drawn."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from afl_sim.errors import ScheduleError
from afl_sim.world.availability.protocol import Availability
from afl_sim.world.availability.timelines import returns
from afl_sim.world.clients.idle import IdleClients
from afl_sim.world.clients.selection import Selector
from afl_sim.world.tasks.task import Phase, Task

_AWAY = Task(-1, -1, -1, 0, 0, 0)
_AWAY.phase = Phase.CANCELLED
"""Stands in `IdleClients.busy` for the task of a client that is known to be away."""


class Presence:
    """The clients that are idle and available.

    A client that is drawn while it is away is set aside until it is back, so that it is asked about
    once. Clients that are not drawn cost nothing.

    Args:
        idle: the clients without a task.
        availability: when clients are available; None is always.
        selector: chooses among them; None chooses uniformly.

    Attributes:
        held: clients that are away although they are available, because they are to be charged.
    """

    def __init__(
        self, idle: IdleClients, availability: Availability | None, selector: Selector | None
    ) -> None:
        self._idle = idle
        self._availability = availability
        self._away: dict[int, int] = {}  # client -> when it is back, in microseconds
        self._back: list[tuple[int, int]] = []  # the same by time; entries may be out of date
        self._gone: dict[int, None] = {}  # those set aside that never come back
        self._selector = selector
        self._uniform = selector is None and availability is None
        self.held: set[int] = set()

    @property
    def always(self) -> bool:
        """Whether all clients are always available."""
        return self._availability is None

    @property
    def population(self) -> int:
        """The number of clients."""
        return self._idle.population

    @property
    def idle(self) -> int:
        """The number of clients without a task, available or not."""
        return len(self._idle) + len(self._away) + len(self._gone)

    def everyone_is_gone(self, now_us: int) -> bool:
        """Whether all idle clients have left for good."""
        if self._availability is None or self.has(1, now_us):
            return False
        return bool(self._gone) and self._next_back() is None

    def accepts(self, client: int) -> bool:
        """Whether the client can be sent a task, now or when it is available."""
        return client in self._idle or client in self._away or client in self._gone

    def task(self, client: int) -> Task | None:
        """The task that the client has, if any."""
        found = self._idle.busy.get(client)
        return None if found is _AWAY else found

    def sharing(self, task: Task) -> list[Task]:
        """The tasks that are at the same client, in the order in which it does them."""
        return [task]

    def is_there(self, client: int, now_us: int) -> bool:
        """Whether the client can be reached, idle or not."""
        if self._availability is None:
            return True
        return client not in self.held and self._availability.state(client, now_us)[0]

    def back_us(self, client: int, now_us: int) -> int | None:
        """The first instant from this one on at which a client is available; None if never."""
        if self._availability is None:
            return now_us
        return returns(self._availability, client, now_us)

    def start(self, client: int, task: Task) -> None:
        """The client has a task."""
        if self._availability is not None and self._away.pop(client, None) is None:
            self._gone.pop(client, None)
        idle = self._idle
        if idle.few:
            idle.start(client, task)
        else:
            idle.busy[client] = task  # what `start` does, without a call

    def end(self, task: Task) -> bool:
        """A task is over; whether that leaves its client idle."""
        idle, client = self._idle, task.client
        busy = idle.busy
        found = busy.pop(client, None)
        if found is not task:  # it has gone on to another
            if found is not None:
                busy[client] = found
            return False
        if idle.few:
            idle.list_again(client)
        return True

    def draw(self, n: int, now_us: int, among: Sequence[int] | None = None) -> list[int]:
        """``n`` different idle and available clients, uniformly or as the selector chooses them.

        Fewer if fewer are available.
        """
        if self._selector is not None:
            return self._selector.choose(n, self._candidates(now_us, among))
        if self._availability is None:
            return self._idle.draw(n, among)
        self._welcome(now_us)
        chosen: list[int] = []
        while len(chosen) < n:
            found = self._idle.draw(n - len(chosen), among)
            if not found:
                break
            for client in found:
                self._idle.start(client, _AWAY)  # not to be drawn again
                if self._availability.state(client, now_us)[0]:
                    chosen.append(client)
                else:
                    self._set_aside(client, now_us)
        for client in chosen:
            self._idle.end(client)
        return chosen

    def has(self, n: int, now_us: int, among: Sequence[int] | None = None) -> bool:
        """Whether ``n`` clients are idle and available."""
        if self._selector is not None:
            return len(self._candidates(now_us, among)) >= n
        if self._availability is not None:
            return len(self.draw(n, now_us, among)) >= n
        if among is None:
            return len(self._idle) >= n
        return sum(1 for client in among if client in self._idle) >= n

    def _candidates(self, now_us: int, among: Sequence[int] | None) -> list[int]:
        """All clients that are idle and available, in order."""
        self._welcome(now_us)
        if among is None:
            idle = self._idle.listed()
        else:
            idle = sorted(client for client in among if client in self._idle)
        found = []
        for client in idle:
            if self.is_there(client, now_us):
                found.append(client)
            else:
                self._idle.start(client, _AWAY)
                self._set_aside(client, now_us)
        return found

    def workers(self, n: int, now_us: int) -> list[int]:
        """`draw`, and if fewer than ``n`` are available, those that are back first."""
        if self._uniform:
            return self._idle.draw(n)
        chosen = self.draw(n, now_us)
        waiting: list[tuple[int, int]] = []
        while len(chosen) < n and self._next_back() is not None:
            waiting.append(heapq.heappop(self._back))
            if waiting[-1][1] not in chosen[-len(waiting) :]:
                chosen.append(waiting[-1][1])
        for entry in waiting:  # still away, whether or not they are sent a task
            heapq.heappush(self._back, entry)
        return chosen

    def one(self, now_us: int) -> int:
        """An idle client: an available one, else the one that is back first, else one that is gone.

        Raises:
            ScheduleError: no client is idle.
        """
        found = self.workers(1, now_us) or list(self._gone)[:1]
        if not found:
            raise ScheduleError("no client is idle")
        return found[0]

    def sample(self, n: int, now_us: int) -> list[int]:
        """``n`` different clients out of all that are available, idle or not."""
        if self._availability is None:
            return self._idle.sample(n)
        order = self._idle.sample(self._idle.population)
        return [client for client in order if self.is_there(client, now_us)][:n]

    def next_back_us(self) -> int | None:
        """When the next of the clients set aside is back; None if none ever is."""
        return self._next_back()

    def _welcome(self, now_us: int) -> None:
        """Clients that were set aside and are back are idle like others."""
        while (back := self._next_back()) is not None and back <= now_us:
            client = heapq.heappop(self._back)[1]
            del self._away[client]
            self._idle.end(client)

    def _next_back(self) -> int | None:
        while self._back and self._away.get(self._back[0][1]) != self._back[0][0]:
            heapq.heappop(self._back)  # it was sent a task meanwhile
        return self._back[0][0] if self._back else None

    def _set_aside(self, client: int, now_us: int) -> None:
        back = self.back_us(client, now_us)
        if back is None:
            self._gone[client] = None
        else:
            self._away[client] = back
            heapq.heappush(self._back, (back, client))
