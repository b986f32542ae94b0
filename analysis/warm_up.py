"""Where the steady state of a run begins, of a series that comes part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

BATCH: Final = 5
MOST_BATCHES: Final = 200_000
"""Batches that are kept: of more than a million values, batches are of 10, 20, 40, ... values."""


class BatchMeans:
    """Sums of batches of a series, for the rule MSER-5; the memory is bounded.

    White, Cobb and Spratt, "A comparison of five steady-state truncation heuristics for
    simulation", Winter Simulation Conference 2000.

    Args:
        most: the largest number of batches; beyond it two and two become one. Default
            `MOST_BATCHES`.

    Attributes:
        batch: values in a batch.
        count, total: how many values there are, and their sum.
    """

    def __init__(self, most: int | None = None) -> None:
        self.batch = BATCH
        self.count = 0
        self.total = 0.0
        self._most = MOST_BATCHES if most is None else most
        self._sums: Floats = np.empty(0)
        self._ends: Floats = np.empty(0)
        self._rest, self._in_rest = 0.0, 0  # of the batch that is not full

    def add(self, values: Floats, times: Floats) -> None:
        """Take the next values of the series, and when each of them was."""
        self.count += len(values)
        self.total += float(values.sum())
        before = self._in_rest
        full = (before + len(values)) // self.batch
        if full:
            ends = np.arange(1, full + 1) * self.batch - before
            starts = np.maximum(ends - self.batch, 0)
            sums = np.add.reduceat(values[: ends[-1]], starts)
            sums[0] += self._rest
            self._sums = np.concatenate([self._sums, sums])
            self._ends = np.concatenate([self._ends, times[ends - 1]])
            values = values[ends[-1] :]
            self._rest, before = 0.0, 0
        self._rest += float(values.sum())
        self._in_rest = before + len(values)
        while len(self._sums) > self._most:
            self._double()

    def _double(self) -> None:
        pairs = len(self._sums) // 2
        if len(self._sums) % 2:
            self._rest += float(self._sums[-1])
            self._in_rest += self.batch
        self._sums = self._sums[: 2 * pairs].reshape(pairs, 2).sum(axis=1)
        self._ends = self._ends[1 : 2 * pairs : 2]
        self.batch *= 2

    def cut(self) -> int:
        """How many batches at the beginning belong to the warm-up.

        It is the number that minimises the estimated standard error of the mean of the others, and
        at most half. With fewer than ten batches nothing is cut.
        """
        batches = len(self._sums)
        if batches < 10:
            return 0
        means = self._sums / self.batch
        left = np.arange(batches, 0, -1)
        # Centred before squares are subtracted, which would lose the digits that matter.
        centred = means - means.mean()
        sums = np.cumsum(centred[::-1])[::-1]
        squares = np.cumsum((centred**2)[::-1])[::-1]
        errors = np.maximum(squares - sums**2 / left, 0.0) / left**2
        return int(np.argmin(errors[: batches // 2 + 1]))

    def end_of(self, batches: int) -> float:
        """When the last value of so many batches was."""
        return float(self._ends[batches - 1])

    def after(self, batches: int) -> tuple[float, int]:
        """The sum of the values after so many batches, and how many they are."""
        left = self.count - batches * self.batch
        return self.total - float(self._sums[:batches].sum()), left
