"""Bandwidth that changes in time: how much a link carries, and when a transfer ends.

The bandwidth is a piecewise constant function of virtual time. A transfer of ``n`` bytes that
begins at ``t`` ends at the first time at which the integral of the bandwidth from ``t`` on reaches
``n``. The integral is computed in integers, so that it is exact. Only amounts and ends are rounded:
up, to a unit of data and to a multiple of 2^-64 microseconds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

from afl_sim.world.microseconds import MICROSECONDS

FRACTION: Final = 64
"""Binary digits below a microsecond; `Capacity` counts time in units of 2^-64 microseconds."""

Floats = npt.NDArray[np.float64]


class Capacity:
    """What one link carries over time.

    Times are integers in units of 2^-64 microseconds (ticks). Amounts of data are integers, too, in
    a unit that is so small that every bandwidth is a whole number of units per tick.

    Args:
        ends_us: where each piece ends, in microseconds; the first begins at 0.
        rates: the bandwidth in each piece (bytes per second), at least one of them above 0.
        repeats: whether all begins anew after the last piece. If not, the last bandwidth, which
            is then above 0, stays.
    """

    def __init__(self, ends_us: Sequence[int], rates: Sequence[float], repeats: bool) -> None:
        ratios = [rate.as_integer_ratio() for rate in rates]
        # Denominators are powers of two, so that the largest is a multiple of all others.
        scale = max(denominator for _, denominator in ratios)
        self._rates = [numerator * (scale // denominator) for numerator, denominator in ratios]
        self._per_byte = scale * MICROSECONDS << FRACTION
        self._ends = [end << FRACTION for end in ends_us]
        self._starts = [0, *self._ends[:-1]]
        spans = zip(self._starts, self._ends, self._rates, strict=True)
        self._carried = list(accumulate((end - start) * rate for start, end, rate in spans))
        self._before = [0, *self._carried[:-1]]
        self._repeats = repeats
        self._period = self._ends[-1]

    def amount(self, size: float) -> int:
        """So many bytes in units of data, rounded up: what is less than a unit takes time, too."""
        numerator, denominator = float(size).as_integer_ratio()
        return -(-numerator * self._per_byte // denominator)

    def end(self, begin: int, amount: int) -> int:
        """The first tick at which a transfer is over that begins at tick ``begin``."""
        if amount <= 0:
            return begin
        turn = begin - begin % self._period if self._repeats else 0
        target = self._until(begin - turn) + amount
        if self._repeats:
            turns, target = divmod(target, self._carried[-1])
            if not target:  # the end of a period is the first time; the next may begin with a gap
                turns, target = turns - 1, self._carried[-1]
            turn += turns * self._period
        piece = min(bisect_left(self._carried, target), len(self._rates) - 1)
        wait = -(-(target - self._before[piece]) // self._rates[piece])
        return turn + self._starts[piece] + wait

    def carried(self, begin: int, end: int) -> int:
        """The amount that the link can carry between two ticks."""
        return self._integral(end) - self._integral(begin)

    def mean_seconds(self, size: float) -> float:
        """The mean time of a transfer of so many bytes that begins at a uniform time.

        If the link does not repeat, it is the time at the last bandwidth, which lasts longest.
        """
        rates = np.array([rate / (self._per_byte >> FRACTION) for rate in self._rates])  # bytes/us
        if not self._repeats:
            return float(size / rates[-1] / MICROSECONDS)
        ends = np.array([float(end >> FRACTION) for end in self._ends])
        starts = np.concatenate([[0.0], ends[:-1]])
        carried = np.cumsum((ends - starts) * rates)
        before = np.concatenate([[0.0], carried[:-1]])
        period, total = ends[-1], carried[-1]
        # Between these beginnings the time of a transfer is linear: a change of the bandwidth, or
        # a beginning whose end falls on one. So the value in the middle is the mean.
        ending_there = np.interp(
            (before - size) % total, np.append(before, total), [*starts, period]
        )
        cuts = np.unique(np.concatenate([starts, ending_there, [period]]))
        widths, middles = np.diff(cuts), (cuts[1:] + cuts[:-1]) / 2
        inside = np.minimum(np.searchsorted(ends, middles, "right"), len(ends) - 1)
        turns, target = np.divmod(
            before[inside] + (middles - starts[inside]) * rates[inside] + size, total
        )
        piece = np.minimum(np.searchsorted(carried, target, "left"), len(ends) - 1)
        piece = np.where(rates[piece] > 0, piece, int(np.argmax(rates > 0)))
        over = turns * period + starts[piece] + (target - before[piece]) / rates[piece]
        return float(np.sum((over - middles) * widths) / period / MICROSECONDS)

    @property
    def mean_rate(self) -> float:
        """The mean bandwidth over the pieces (bytes per second)."""
        return self._carried[-1] / self._period / (self._per_byte >> FRACTION) * MICROSECONDS

    @property
    def period(self) -> int:
        """The ticks from the beginning of the pieces to their end."""
        return self._period

    @property
    def per_period(self) -> int:
        """The amount that the link carries in that time."""
        return self._carried[-1]

    def _integral(self, time: int) -> int:
        if not self._repeats:
            return self._until(time)
        turns, inside = divmod(time, self._period)
        return turns * self._carried[-1] + self._until(inside)

    def _until(self, time: int) -> int:
        """What is carried from the beginning of the pieces until a time inside them, or after."""
        piece = min(bisect_right(self._ends, time), len(self._rates) - 1)
        return self._before[piece] + (time - self._starts[piece]) * self._rates[piece]
