"""Whole numbers and how often each occurs, in little memory however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

MOST_VALUES: Final = 1 << 18
BITS: Final = 12
"""Binary digits that a value keeps where there are too many different ones: 0.02 %."""

_LISTED: Final = 1 << 18  # values below it are counted in a list


class Distribution:
    """How often each value occurred, of values that are added part by part.

    Of up to ``most`` different values each is kept as it is. Where there are more, all values are
    rounded to `BITS` binary digits. Which of the two it is does not depend on the parts.

    Args:
        most: the largest number of different values that are kept as they are; default
            `MOST_VALUES`.

    Attributes:
        rounded: whether values are rounded.
        total: the exact sum of the values.
        largest: the largest value, not rounded; -1 without values.
    """

    def __init__(self, most: int | None = None) -> None:
        self.rounded = False
        self.total = 0
        self.largest = -1
        self._most = MOST_VALUES if most is None else most
        self._values = np.empty(0, dtype=np.int64)
        self._counts = np.empty(0, dtype=np.int64)
        self._new: list[Numbers] = []
        self._waiting = 0

    def add(self, values: Numbers) -> None:
        """Count further values, none of them negative."""
        if not len(values):
            return
        self.total += int(values.sum())
        self.largest = max(self.largest, int(values.max()))
        self._new.append(values)
        self._waiting += len(values)
        if self._waiting >= self._most:
            self._count_new()

    def __len__(self) -> int:
        """How many values there are in all."""
        return int(self._counts.sum()) + self._waiting

    @property
    def mean(self) -> float:
        """The mean of the values before they were rounded."""
        return self.total / len(self)

    def counted(self) -> tuple[Numbers, Numbers]:
        """The different values, ascending, and how often each occurs."""
        self._count_new()
        return self._values, self._counts

    def positive(self) -> Distribution:
        """The values above 0."""
        values, counts = self.counted()
        found = Distribution(self._most)
        found.rounded, found.total, found.largest = self.rounded, self.total, self.largest
        found._values, found._counts = values[values > 0], counts[values > 0]
        return found

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """The values at these shares of the ranks; linear between two values, as NumPy has it."""
        values, counts = self.counted()
        ends = np.cumsum(counts)
        found = []
        for share in shares:
            place = share * (int(ends[-1]) - 1)
            below = int(place)
            pair = values[np.searchsorted(ends, [below, min(below + 1, ends[-1] - 1)], "right")]
            found.append(float(np.quantile(pair, place - below)))
        return found

    def _count_new(self) -> None:
        if not self._new:
            return
        parts, self._new, self._waiting = self._new, [], 0
        self._merge(*_counted(np.concatenate(parts), self.rounded))

    def _merge(self, values: Numbers, counts: Numbers) -> None:
        if self.rounded:
            values = _middle(_cell(values))
        both = np.concatenate([self._values, values])
        weights = np.concatenate([self._counts, counts])
        self._values, self._counts = _summed(both, weights)
        if len(self._values) > self._most and not self.rounded:
            self.rounded = True
            self._values, self._counts = _summed(_middle(_cell(self._values)), self._counts)


def pooled(parts: Sequence[Distribution]) -> Distribution:
    """Several distributions as one."""
    if len(parts) == 1:
        return parts[0]
    found = Distribution(max((part._most for part in parts), default=MOST_VALUES))
    found.rounded = any(part.rounded for part in parts)
    for part in parts:
        found._merge(*part.counted())
        found.total += part.total
        found.largest = max(found.largest, part.largest)
    return found


def _summed(values: Numbers, counts: Numbers) -> tuple[Numbers, Numbers]:
    found, place = np.unique(values, return_inverse=True)
    sums = np.zeros(len(found), dtype=np.int64)
    np.add.at(sums, place, counts)
    return found, sums


def _counted(values: Numbers, rounded: bool) -> tuple[Numbers, Numbers]:
    """The different values, ascending and rounded if they are to be, and how often each occurs."""
    if rounded:
        counts = np.bincount(_cell(values))
        cells = np.flatnonzero(counts)
        return _middle(cells), counts[cells]
    if values.max() < _LISTED:  # no need to sort them
        counts = np.bincount(values)
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(values, return_counts=True)


def _cell(values: Numbers) -> Numbers:
    """The number of each value's cell: of all that have the same first `BITS` binary digits."""
    digits = np.frexp(values.astype(np.float64))[1]
    shift = np.maximum(digits - BITS, 0).astype(np.int64)
    cell: Numbers = (shift << BITS) + (values >> shift)
    return cell


def _middle(cells: Numbers) -> Numbers:
    """The value in the middle of each cell."""
    shift = cells >> BITS
    middle: Numbers = ((cells - (shift << BITS)) << shift) + ((np.int64(1) << shift) >> 1)
    return middle
