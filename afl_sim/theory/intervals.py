"""Confidence intervals over replications, with a bound on the chance of any false alarm.

A replication is one run with a seed of its own; its statistic is one number. The interval is
Student's, ``mean +- t s / sqrt(R)``, which asks that the R numbers be about normal: each is an
average over many hundreds of events.

The level is chosen for all comparisons together. If the simulator is right, the probability that
any of at most ``COMPARISONS`` intervals misses its exact value is at most ``FALSE_ALARM``
(Bonferroni), over the choice of seeds. The seeds are fixed, so they all hold always or never.

An interval that wide is worth something only if it is narrow enough to find a mistake. So each
comparison also names values that a plausible mistake would give, and the interval must miss them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FALSE_ALARM = 1e-4
COMPARISONS = 120
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
    from scipy.special import stdtrit  # scipy.stats takes long to import

    sample = np.asarray(values, dtype=float)
    count = len(sample)
    quantile = -float(stdtrit(count - 1, (1 - level) / 2))
    spread = float(sample.std(ddof=1))
    # Statistics that do not vary (an exact identity) still carry rounding errors.
    rounding = 1e-9 * max(1.0, float(np.abs(sample).max()))
    return Interval(float(sample.mean()), quantile * spread / math.sqrt(count) + rounding)
