"""What every metric has in common: it takes batches, and has a value at the end."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Tally(Protocol):
    """A metric of the samples that it was given."""

    def add(self, outputs: Array, labels: Array) -> None:
        """Take a batch.

        Args:
            outputs: float32 (n, outputs). Of labels for positions, the positions that have a label
                are the samples.
            labels: int64 (n,) for classes, else float32 (n, outputs).
        """

    def value(self) -> float:
        """The metric of all samples; NaN if it is not defined for them."""


class Values:
    """Numbers that were added batch by batch, with their exactly rounded sum."""

    def __init__(self) -> None:
        self._parts: list[Doubles] = []

    def add(self, values: Array) -> None:
        """Add an array of any shape."""
        self._parts.append(np.asarray(values, dtype=np.float64).ravel())

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def sum(self) -> float:
        """Their sum, which does not depend on how they came in batches."""
        return exact_sum(number for part in self._parts for number in part.tolist())

    def mean(self) -> float:
        """Their mean; NaN if there are none."""
        return self.sum() / len(self) if len(self) else math.nan


def exact_sum(numbers: Iterable[float]) -> float:
    """The rounded sum; NaN where it is not defined, or too large for a float64."""
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):
        return math.nan


def mean_of(numbers: Iterable[float]) -> float:
    """The mean of those that are not NaN; NaN if there are none."""
    known = [number for number in numbers if not math.isnan(number)]
    return exact_sum(known) / len(known) if known else math.nan
