"""Speeds that vary over time, and how long work takes at them.

A client's rate is a piecewise constant function of virtual time. A rate of 1 is the speed that the
scenario gives. Work that would take ``w`` microseconds at rate 1 and begins at ``t`` ends when the
integral of the rate from ``t`` on reaches ``w``. The rate depends only on the client and the
instant, not on who asks: the length of every stay in a state is a draw at its own address, and all
pieces are visited in turn. Only if a periodic rate has very many periods, whole ones are skipped.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from afl_sim.errors import ScenarioError
from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.sections.modulation import Hours as HoursSpec
from afl_sim.scenario.sections.modulation import Slowdowns as SlowdownsSpec
from afl_sim.streams import Streams
from afl_sim.world.microseconds import CLOCK_END, MICROSECONDS, to_microseconds

Pieces = Iterator[tuple[int, float]]
"""A rate from some instant on: (the microsecond at which a piece ends, the rate until then)."""
Rate = Callable[[int, int], Pieces]
"""The rate of a client from an instant (microseconds) on."""

_KEPT = 1 << 14  # bounded: memory must not grow with the population
_FEW = 1 << 16  # pieces that are visited one by one even if the rate is periodic
_MOST = 1 << 20  # pieces of one task: a few seconds of the simulator's time


def stretch(pieces: Pieces, begin_us: int, work_us: Sequence[float]) -> list[float]:
    """When each amount of work is done, in microseconds after ``begin_us``.

    Args:
        pieces: the rate from ``begin_us`` on.
        begin_us: when the work begins.
        work_us: amounts in ascending order, each the time that it would take at rate 1.

    Raises:
        ScenarioError: there are too many pieces before the work is done.
    """
    ends: list[float] = []
    done, now, walked = 0.0, begin_us, 0
    end, rate = next(pieces)
    for amount in work_us:
        while amount > done + (end - now) * rate:
            if now >= CLOCK_END:  # no run lasts so long, so that any later time will do
                rate = 1.0
                break
            if walked >= _MOST:
                raise ScenarioError(
                    f"clients.compute: a task takes more than {_MOST:,} changes of its client's "
                    "speed; expected slowdowns or hours that last longer, or shorter tasks"
                )
            done, now = done + (end - now) * rate, end
            end, rate = next(pieces)
            walked += 1
        ends.append(now - begin_us + ((amount - done) / rate if amount > done else 0.0))
    return ends


def work_done(pieces: Pieces, begin_us: int, elapsed_us: int) -> float:
    """The work that is done ``elapsed_us`` microseconds after ``begin_us``; undoes `stretch`."""
    done, now, until = 0.0, begin_us, begin_us + elapsed_us
    for end, rate in pieces:
        if end >= until:
            break
        done, now = done + (end - now) * rate, end
    return done + (until - now) * rate


def product(first: Rate, second: Rate) -> Rate:
    """The rate that is the product of two."""

    def rate(client: int, begin_us: int) -> Pieces:
        one, other = first(client, begin_us), second(client, begin_us)
        (end, factor), (other_end, other_factor) = next(one), next(other)
        while True:
            yield min(end, other_end), factor * other_factor
            passed = min(end, other_end)
            if end == passed:
                end, factor = next(one)
            if other_end == passed:
                other_end, other_factor = next(other)

    return rate


class Slowdowns:
    """A client is fast, then slow, then fast again, each time for a random time.

    Stays with an even number are fast, the others slow. The stay that was found last is remembered
    for some of the clients; for the others the search begins at the start of the run.
    """

    def __init__(self, spec: SlowdownsSpec, streams: Streams) -> None:
        self._spec = spec
        self._streams = streams
        self._factor = lru_cache(_KEPT)(self._draw_factor)
        self._found: dict[int, tuple[int, int]] = {}  # client -> (stay, when it ends)

    def pieces(self, client: int, begin_us: int) -> Pieces:
        """The rate from ``begin_us`` on."""
        stay, end = self._found.get(client, (-1, 0))
        if stay < 0 or end - self._stay(client, stay) > begin_us:
            stay = self._first(client)
            end = self._stay(client, stay)
        while end <= begin_us:
            stay += 1
            end += self._stay(client, stay)
        if client not in self._found and len(self._found) >= _KEPT:
            del self._found[next(iter(self._found))]
        self._found[client] = stay, end
        slow = 1 / self._factor(client)
        while True:
            yield end, slow if stay % 2 else 1.0
            stay += 1
            end += self._stay(client, stay)

    def mean(self, client: int) -> float:
        """The rate's mean over a long time."""
        fast, slow = self._spec.fast_seconds.mean(client), self._spec.slow_seconds.mean(client)
        return (fast + slow / self._factor(client)) / (fast + slow)

    def _first(self, client: int) -> int:
        """The number of the first stay: 0 is fast, 1 is slow."""
        fast, slow = self._spec.fast_seconds.mean(client), self._spec.slow_seconds.mean(client)
        u = self._streams.uniform("compute.slowdowns.first", client)
        return int(u * (fast + slow) < slow)

    def _stay(self, client: int, stay: int) -> int:
        """How long a stay lasts, in microseconds."""
        name = "slow_seconds" if stay % 2 else "fast_seconds"
        law = self._spec.slow_seconds if stay % 2 else self._spec.fast_seconds
        seconds = draw(law, self._streams, f"compute.slowdowns.{name}", client, stay // 2)
        return to_microseconds(seconds, f"clients.compute.slowdowns.{name}")

    def _draw_factor(self, client: int) -> float:
        return draw(self._spec.factor, self._streams, "compute.slowdowns.factor", client)


class Hours:
    """The rate follows the hour of each client's own day."""

    def __init__(self, spec: HoursSpec, streams: Streams) -> None:
        self._spec = spec
        self._streams = streams
        self._period = to_microseconds(spec.period_seconds, "clients.compute.hours.period_seconds")
        count = len(spec.speed)
        self._ends = [round(self._period * (i + 1) / count) for i in range(count)]
        starts = [0, *self._ends[:-1]]
        parts = zip(starts, self._ends, spec.speed, strict=True)
        self._work = sum((end - start) * rate for start, end, rate in parts)  # of a period
        self._few = max(1, _FEW // count)  # periods
        self._phase = lru_cache(_KEPT)(self._draw_phase)

    def pieces(self, client: int, begin_us: int) -> Pieces:
        """The rate from ``begin_us`` on."""
        phase = self._phase(client)
        midnight = (begin_us + phase) // self._period * self._period - phase
        while True:
            for end, rate in zip(self._ends, self._spec.speed, strict=True):
                if midnight + end > begin_us:
                    yield midnight + end, rate
            midnight += self._period

    def stretch(self, client: int, begin_us: int, work_us: Sequence[float]) -> list[float]:
        """`stretch` of work from ``begin_us`` on, however many periods it takes.

        Raises:
            ScenarioError: it takes longer than a number can hold.
        """
        each = self._work
        walked = bisect_right(work_us, self._few * each)
        ends = stretch(self.pieces(client, begin_us), begin_us, work_us[:walked])
        for amount in work_us[walked:]:
            periods, left = divmod(amount, each) if each else (math.inf, 0.0)
            if not math.isfinite(periods * self._period):
                raise ScenarioError("clients.compute.hours.speed: so slow that a task never ends")
            (rest,) = stretch(self.pieces(client, begin_us), begin_us, [left])
            ends.append(periods * self._period + rest)
        return ends

    def work_done(self, client: int, begin_us: int, elapsed_us: int) -> float:
        """`work_done` from ``begin_us`` on, however many periods that is."""
        periods = elapsed_us // self._period
        if periods <= self._few:
            return work_done(self.pieces(client, begin_us), begin_us, elapsed_us)
        rest = work_done(self.pieces(client, begin_us), begin_us, elapsed_us % self._period)
        return periods * self._work + rest

    def mean(self, client: int) -> float:
        """The rate's mean over a period."""
        return self._work / self._period

    def _draw_phase(self, client: int) -> int:
        seconds = draw(self._spec.phase_seconds, self._streams, "compute.hours.phase", client)
        return round(seconds * MICROSECONDS)
