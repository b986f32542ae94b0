"""Confidence intervals over replications, and what the whole suite may get wrong by chance.

A replication is one run with a seed of its own; its statistic is one number. The interval is
Student's, ``mean +- t s / sqrt(R)``, which asks that the R numbers be about normal: each is an
average over many hundreds of events.

The level is chosen for the suite as a whole. If the simulator is right, the probability that any
of at most ``COMPARISONS`` intervals misses its exact value is at most ``FALSE_ALARM`` (Bonferroni),
over the choice of seeds. The seeds are fixed, so the suite passes always or never.

An interval that wide is worth something only if it is narrow enough to find a mistake. So each
comparison also names values that a plausible mistake would give, and the interval must miss them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

FALSE_ALARM = 1e-4
COMPARISONS = 60
REPLICATIONS = 16


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval for a mean."""

    mean: float
    half_width: float

    def __contains__(self, value: float) -> bool:
        return abs(value - self.mean) <= self.half_width

    def __str__(self) -> str:
        return f"{self.mean:.6g} +- {self.half_width:.2g}"


def interval(values: npt.ArrayLike, level: float = 1 - FALSE_ALARM / COMPARISONS) -> Interval:
    """Student's interval for the mean of independent, about normal values."""
    sample = np.asarray(values, dtype=float)
    count = len(sample)
    quantile = float(stats.t.isf((1 - level) / 2, count - 1))
    spread = float(sample.std(ddof=1))
    # Statistics that do not vary (an exact identity) still carry rounding errors.
    rounding = 1e-9 * max(1.0, float(np.abs(sample).max()))
    return Interval(float(sample.mean()), quantile * spread / math.sqrt(count) + rounding)


class Comparisons:
    """Compares and counts, so that the suite's false-alarm rate is what is written above."""

    def __init__(self) -> None:
        self.made = 0

    def mean(
        self, values: npt.ArrayLike, exact: float, mistakes: Sequence[float], what: str = ""
    ) -> None:
        """The replications' mean is ``exact``, and none of what the ``mistakes`` would give.

        Args:
            values: one number for each replication.
            exact: the oracle's value.
            mistakes: values that plausible mistakes would give; none must be in the interval.
            what: names the quantity where a test compares several.
        """
        self.made += 1
        found = interval(values)
        assert exact in found, f"{what}: measured {found}, the oracle says {exact:.6g}"
        for mistake in mistakes:
            assert mistake not in found, f"{what}: {found} is too wide to exclude {mistake:.6g}"
