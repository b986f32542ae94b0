"""When each client is available. A client that nobody asks about costs nothing.

A client is available during half-open intervals of integer microseconds. Everything is a function
of the client and the time: it does not matter who asks, or when.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.sections import availability as spec
from afl_sim.streams import Streams
from afl_sim.world.availability.protocol import Availability, State
from afl_sim.world.availability.some_clients import ForSome
from afl_sim.world.availability.traced import traced
from afl_sim.world.microseconds import CLOCK_END, to_microseconds

_KEY = "clients.availability"
_KEPT = 1 << 17  # bounded: memory must not grow with the population
_ONE_BY_ONE = 16  # periods that are looked at one by one, before whole blocks of them
_BLOCKS = (1 << 10, 1 << 16)  # periods in the first block, and in the largest
_COINS = 0xFFFFFFFF  # a stream has no more draws for a client; then they repeat
IN_SIGHT = 1 << 22
"""`Bernoulli` treats a client that is away for more periods in a row as gone for good."""


class Always:
    """Clients that never leave."""

    def state(self, client: int, now_us: int) -> State:
        """Available, for ever."""
        return True, None


class OnOff:
    """An alternating renewal process for each client; at its start all of them are on.

    Args:
        on, off: how long a client is available and away; draw k is of its k-th stay or absence.
        warm_up_us: how long the process has run at time 0.
        streams: the run's random streams.
        purposes: the names of the draws of stays and absences.
    """

    def __init__(
        self,
        on: Distribution,
        off: Distribution,
        warm_up_us: int,
        streams: Streams,
        purposes: tuple[str, str] = ("availability.on", "availability.off"),
    ) -> None:
        self._purposes = purposes
        self._on = on
        self._off = off
        self._warm_up_us = warm_up_us
        self._streams = streams
        self._cycles: dict[int, tuple[int, int, int, int]] = {}  # client -> cycle last looked at

    def state(self, client: int, now_us: int) -> State:
        """By the stay in which, or after which, the instant falls."""
        cycle = self._cycles.get(client)
        if cycle is None:
            cycle = self._cycle(client, 0, -self._warm_up_us)
        while now_us < cycle[1]:  # it was asked ahead, for when the client is back
            cycle = self._cycle(client, cycle[0] - 1, ends=cycle[1])
        while now_us >= cycle[3]:
            cycle = self._cycle(client, cycle[0] + 1, cycle[3])
        if len(self._cycles) >= _KEPT:
            self._cycles.clear()
        self._cycles[client] = cycle
        return (True, cycle[2]) if now_us < cycle[2] else (False, cycle[3])

    def _cycle(
        self, client: int, k: int, begins: int = 0, ends: int | None = None
    ) -> tuple[int, int, int, int]:
        """Cycle k: its number, and when the client comes, leaves, and comes again.

        When it begins, or when it ends, is known from the cycle before it or after it.
        """
        on, off = (
            to_microseconds(draw(law, self._streams, purpose, client, k), purpose)
            for law, purpose in zip((self._on, self._off), self._purposes, strict=True)
        )
        if ends is not None:
            begins = ends - on - off
        return k, begins, begins + on, begins + on + off


class Diurnal:
    """Each client is available for the same share of a day, from a time of day of its own.

    Args:
        period_us: a day.
        share: of the day in which a client is available.
        phase: when a client comes, as a share of the day.
        streams: the run's random streams.
    """

    def __init__(self, period_us: int, share: float, phase: Distribution, streams: Streams) -> None:
        self._period = period_us
        self._on = max(1, round(share * period_us))
        self._phase = phase
        self._streams = streams

    def state(self, client: int, now_us: int) -> State:
        """By the client's time of day."""
        if self._on >= self._period:
            return True, None
        phase = draw(self._phase, self._streams, "availability.phase", client)
        day = (now_us - round(phase * self._period)) % self._period
        there = day < self._on
        return there, now_us - day + (self._on if there else self._period)


class Bernoulli:
    """In each period a client is available independently, with a given probability.

    A client that is away for more than `IN_SIGHT` periods in a row, or until the end of the clock,
    counts as gone: there is no bound on the time until its return.

    Args:
        probability: of being available, drawn once for each client.
        every_us: the length of a period.
        streams: the run's random streams.
    """

    def __init__(self, probability: Distribution, every_us: int, streams: Streams) -> None:
        self._probability = probability
        self._every = every_us
        self._streams = streams
        self._p = lru_cache(_KEPT)(self._draw_probability)
        # client -> (first, end, back): it is away from period `first` until before `end`, and
        # `back` says whether it is available in `end`
        self._absences: dict[int, tuple[int, int, bool]] = {}

    def state(self, client: int, now_us: int) -> State:
        """By the draw of this period; a client stays away until the draw of a period succeeds."""
        p = self._p(client)
        if p <= 0 or p >= 1:
            return p >= 1, None
        period = now_us // self._every
        begin, end, back = self._absences.get(client, (0, 0, False))
        if not begin <= period < end:
            if self._streams.uniform("availability.coin", client, period & _COINS) < p:
                return True, (period + 1) * self._every
            begin, end, back = period, period + 1, False
        if not back:
            last = min(period + IN_SIGHT, CLOCK_END // self._every)
            end, back = self._search(client, end, last, p)
            if len(self._absences) >= _KEPT:
                self._absences.clear()
            self._absences[client] = begin, end, back
        return False, end * self._every if back else None

    def _search(self, client: int, at: int, last: int, p: float) -> tuple[int, bool]:
        """The first period from ``at`` to ``last`` in which the client is available, and True.

        If there is none, the period after ``last``, and False.
        """
        purpose = "availability.coin"
        for period in range(at, min(at + _ONE_BY_ONE, last + 1)):
            if self._streams.uniform(purpose, client, period & _COINS) < p:
                return period, True
        at, block = at + _ONE_BY_ONE, _BLOCKS[0]
        while at <= last:
            periods = np.arange(at, min(at + block, last + 1))
            found = np.flatnonzero(self._streams.uniforms(purpose, client, periods & _COINS) < p)
            if len(found):
                return at + int(found[0]), True
            at, block = at + block, min(2 * block, _BLOCKS[1])
        return last + 1, False

    def _draw_probability(self, client: int) -> float:
        return draw(self._probability, self._streams, "availability.probability", client)


class Lifetimes:
    """Clients that join late or leave for good; in between, another availability decides.

    Args:
        inner: when they are available in between.
        joins, leaves: virtual seconds, drawn once for each client.
        streams: the run's random streams.
    """

    def __init__(
        self,
        inner: Availability,
        joins: Distribution,
        leaves: Distribution | None,
        streams: Streams,
    ) -> None:
        self._inner = inner
        self._joins = joins
        self._leaves = leaves
        self._streams = streams

    def state(self, client: int, now_us: int) -> State:
        """Before, during or after its life."""
        join = self._instant(self._joins, "joins", client)
        if self._leaves is not None:
            leave = self._instant(self._leaves, "leaves", client)
            if now_us >= leave or join >= leave:
                return False, None
        if now_us < join:
            return False, join
        there, until = self._inner.state(client, now_us)
        if self._leaves is not None and (until is None or until > leave):
            until = leave
        return there, until

    def _instant(self, law: Distribution, name: str, client: int) -> int:
        seconds = draw(law, self._streams, f"availability.{name}", client)
        return to_microseconds(seconds, f"{_KEY}.{name}") if seconds else 0


def returns(availability: Availability, client: int, now_us: int) -> int | None:
    """The first instant from this one on at which the client is available; None if never."""
    there, until = availability.state(client, now_us)
    while not there:
        if until is None:
            return None
        now_us = until
        there, until = availability.state(client, now_us)
    return now_us


def build(
    settings: spec.Availability,
    streams: Streams,
    place: Callable[[int], int] = int,
    affected: npt.NDArray[np.bool_] | None = None,
) -> Availability | None:
    """The availability that a scenario describes; None if all clients are always available.

    Args:
        settings: the block.
        streams: the run's random streams.
        place: the place of a client in a trace; by default its index.
        affected: whether the settings hold for a client, bool (clients,); None: for all.
    """
    inner: Availability
    if isinstance(settings, spec.OnOff) and settings.off.constant == 0:
        inner = Always()  # an absence of length 0 is no absence
    elif isinstance(settings, spec.OnOff):
        warm_up = round(settings.warm_up * 1e6)
        inner = OnOff(settings.on, settings.off, warm_up, streams)
    elif isinstance(settings, spec.Diurnal):
        period = to_microseconds(settings.period, f"{_KEY}.period")
        inner = Diurnal(period, settings.share, settings.phase, streams)
    elif isinstance(settings, spec.Bernoulli):
        every = to_microseconds(settings.every_seconds, f"{_KEY}.every_seconds")
        inner = Bernoulli(settings.probability, every, streams)
    elif isinstance(settings, spec.TracedAvailability):
        inner = traced(settings, streams, place)
    else:
        inner = Always()
    if affected is not None and not isinstance(inner, Always):
        inner = ForSome(inner, affected)
    if settings.joins.constant == 0 and settings.leaves is None:
        return None if isinstance(inner, Always) else inner
    return Lifetimes(inner, settings.joins, settings.leaves, streams)
