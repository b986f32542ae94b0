"""Links that transfers contend for: first come, first served, and processor sharing.

A transfer is an amount of work: the microseconds that it would take alone on the link, at its mean
bandwidth if that changes in time (see `afl_sim.world.links.pace`). A task waits for its `Transfer`.
A transfer that is withdrawn leaves the queue, or frees its share, at once. Without contention a
transfer is a timeout and needs none of this.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

import simpy
from simpy.resources.resource import Request

from afl_sim.world.links.pace import Pace
from afl_sim.world.links.usage import LinkUse, Usage

Load = TypeVar("Load")
"""What is transferred; a link never looks into it."""


class Transfer(Generic[Load]):
    """One transfer on a link.

    Attributes:
        load: what is transferred.
        work_us: how long it would take alone, in microseconds.
        then: called with the load when the transfer is over.
        link: where it is.
    """

    __slots__ = ("done", "ends_us", "link", "load", "request", "then", "under_way", "work_us")

    def __init__(self, link: Link, load: Load, work_us: int, then: Callable[[Load], None]) -> None:
        self.link = link
        self.load = load
        self.work_us = work_us
        self.then = then
        self.under_way = True
        self.request: Request | None = None
        self.ends_us = -1  # known once it is served on a FIFO link; -1 elsewhere
        self.done = 0  # the work that the link has done then, if its bandwidth changes in time


class Link(Protocol):
    """What transfers share."""

    def send(self, load: Load, work_us: int, then: Callable[[Load], None]) -> Transfer[Load]:
        """Begin a transfer of at least one microsecond's work; ``then`` is called at its end."""

    def withdraw(self, transfer: Transfer[Any]) -> int:
        """Take a transfer back; returns the work that is left of it, in microseconds."""

    def use(self, time_us: int) -> LinkUse:
        """How much the link was used until then; nothing may have changed since."""


class FifoLink:
    """``slots`` transfers at a time, each at the full rate; the others wait in order.

    Args:
        env: the SimPy environment; its clock counts microseconds.
        slots: how many are served at a time.
        pace: of each of them; None: a microsecond's work in every microsecond.
    """

    def __init__(self, env: simpy.Environment, slots: int, pace: Pace | None = None) -> None:
        self._env = env
        self._pace = pace
        self._slots = simpy.Resource(env, slots)
        self._usage = Usage(slots)

    def send(self, load: Load, work_us: int, then: Callable[[Load], None]) -> Transfer[Load]:
        """Begin a transfer, as soon as a slot is free."""
        transfer = Transfer(self, load, work_us, then)
        self._pass_time()
        self._usage.enter(int(self._env.now))
        transfer.request = self._slots.request()
        transfer.request.callbacks.append(lambda _: self._serve(transfer))
        return transfer

    def withdraw(self, transfer: Transfer[Any]) -> int:
        """Take a transfer back: out of the queue, or out of its slot."""
        if not transfer.under_way:
            return 0
        transfer.under_way = False
        left = transfer.work_us
        if transfer.ends_us >= 0:
            left = self._left(transfer, int(self._env.now))
        self._leave(transfer)
        return left

    def _serve(self, transfer: Transfer[Any]) -> None:
        if transfer.under_way:
            now = int(self._env.now)
            if self._pace is None:
                transfer.ends_us = now + transfer.work_us
            else:
                transfer.done = self._pace.work(now) + transfer.work_us * self._pace.microsecond
                transfer.ends_us = self._pace.when(transfer.done)
            timeout = self._env.timeout(transfer.ends_us - now)
            timeout.callbacks.append(lambda _: self._finish(transfer))

    def _finish(self, transfer: Transfer[Any]) -> None:
        if transfer.under_way:
            transfer.under_way = False
            self._leave(transfer)
            transfer.then(transfer.load)

    def _left(self, transfer: Transfer[Any], now: int) -> int:
        """The work that is left of a transfer that is being served."""
        if self._pace is None:
            return transfer.ends_us - now
        return max(0, -(-(transfer.done - self._pace.work(now)) // self._pace.microsecond))

    def use(self, time_us: int) -> LinkUse:
        """How much the link was used until then."""
        return self._usage.until(time_us, self._present)

    @property
    def _present(self) -> int:
        """How many transfers are being served or wait."""
        return self._slots.count + len(self._slots.queue)

    def _pass_time(self) -> None:
        self._usage.pass_time(int(self._env.now), self._present)

    def _leave(self, transfer: Transfer[Any]) -> None:
        self._pass_time()
        self._usage.leave(int(self._env.now))
        request = transfer.request
        assert request is not None
        if request.triggered:
            self._slots.release(request)
        else:
            request.cancel()


_FRACTION: Final = 64
"""Binary digits below a microsecond with which a shared link keeps its own time."""


class SharedLink:
    """All transfers at a time, each at an equal share of the rate (processor sharing).

    With n transfers under way each gets 1/n of the link, so in terms of the *attained work*
    V(t), dV/dt = 1/n, a transfer that begins at V ends when V has grown by its work, whatever the
    others do: the next to end is the top of a heap, and an event costs O(log n). V and the true
    instants of the ends are integers in units of 2^-64 microseconds. An end is seen at the first
    whole microsecond that is not before it, but the shares change at the true instant, so that no
    rounding error is passed on to a later end. (V is rounded up when a beginning or a withdrawal
    falls between two ends; an error of n 2^-64 microseconds. So an end at a whole microsecond is
    never seen late.)

    If the bandwidth changes in time, the work that the link has done takes the place of time in
    all of this, in the units of its `Pace`.

    Args:
        env: the SimPy environment; its clock counts microseconds.
        pace: of the link; None: a microsecond's work in every microsecond.
    """

    def __init__(self, env: simpy.Environment, pace: Pace | None = None) -> None:
        self._env = env
        self._pace = pace
        self._microsecond = 1 << _FRACTION if pace is None else pace.microsecond
        self._heap: list[tuple[int, int, Transfer[Any]]] = []  # by V at the end, then by beginning
        self._ends: dict[Transfer[Any], int] = {}  # those under way, and V at their end
        self._finished: list[Transfer[Any]] = []  # ended, the microsecond is not over yet
        self._attained = 0  # V
        self._time = 0  # the instant that V belongs to
        self._begun = 0
        self._wake: simpy.Event | None = None
        self._wake_us = -1
        self._usage = Usage(slots=1)

    def send(self, load: Load, work_us: int, then: Callable[[Load], None]) -> Transfer[Load]:
        """Begin a transfer; the others slow down."""
        transfer = Transfer(self, load, work_us, then)
        self._pass_time()
        self._usage.enter(int(self._env.now))
        self._advance()
        end = self._attained + work_us * self._microsecond
        self._ends[transfer] = end
        self._begun += 1
        heapq.heappush(self._heap, (end, self._begun, transfer))
        self._schedule()
        return transfer

    def withdraw(self, transfer: Transfer[Any]) -> int:
        """Take a transfer back; the others speed up."""
        if not transfer.under_way:
            return 0
        self._pass_time()
        self._usage.leave(int(self._env.now))
        self._advance()
        transfer.under_way = False
        end = self._ends.pop(transfer, self._attained)
        self._schedule()
        return -(-(end - self._attained) // self._microsecond)

    def use(self, time_us: int) -> LinkUse:
        """How much the link was used until then."""
        return self._usage.until(time_us, self._present)

    @property
    def _present(self) -> int:
        """How many transfers are under way, or have ended in a microsecond that is not over."""
        return len(self._ends) + sum(transfer.under_way for transfer in self._finished)

    def _pass_time(self) -> None:
        self._usage.pass_time(int(self._env.now), self._present)

    def _advance(self) -> None:
        """Bring V to the present, passing every end on the way."""
        now = int(self._env.now)
        now = now << _FRACTION if self._pace is None else self._pace.work(now)
        heap, ends = self._heap, self._ends
        while heap:
            end, _, transfer = heap[0]
            if not transfer.under_way:
                heapq.heappop(heap)
                continue
            instant = self._time + (end - self._attained) * len(ends)
            if instant > now:
                break
            heapq.heappop(heap)
            self._time, self._attained = instant, end
            del ends[transfer]
            self._finished.append(transfer)
        if ends:
            self._attained -= -(now - self._time) // len(ends)
        else:
            self._attained = 0
        self._time = now

    def _schedule(self) -> None:
        """Have the link wake at the next end."""
        heap = self._heap
        while heap and not heap[0][2].under_way:
            heapq.heappop(heap)
        if self._finished:
            due = int(self._env.now)
        elif heap:
            instant = self._time + (heap[0][0] - self._attained) * len(self._ends)
            due = -(-instant >> _FRACTION) if self._pace is None else self._pace.when(instant)
        else:
            self._wake = None
            return
        if self._wake is None or due != self._wake_us:
            self._wake = self._env.timeout(due - int(self._env.now))
            self._wake_us = due
            self._wake.callbacks.append(self._on_wake)

    def _on_wake(self, event: simpy.Event) -> None:
        if self._wake is not event:
            return
        self._wake = None
        self._pass_time()
        self._advance()
        finished, self._finished = self._finished, []
        self._schedule()
        for transfer in finished:
            if transfer.under_way:
                transfer.under_way = False
                self._usage.leave(int(self._env.now))
                transfer.then(transfer.load)
