"""Intervals over independent replications."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

CONFIDENCE: Final = 0.95
_LEVELS: Final = 4000
"""Quantiles that stand for the distribution of an estimated standard deviation."""


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval.

    Attributes:
        mean: NaN where there is no value.
        low, high: the ends; NaN for fewer than two values.
        n: how many values.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def is_known(self) -> bool:
        """Whether there were enough values for an interval."""
        return not math.isnan(self.low)


def student_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean and Student's interval: ``mean +- t(n - 1) s / sqrt(n)``.

    Args:
        values: one figure of each independent replication.
        confidence: the probability that the interval holds the expected value, if the figures are
            normally distributed.
    """
    from scipy.special import stdtrit  # scipy.stats takes long to import

    n = len(values)
    if not n:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def share_interval(values: Sequence[float]) -> Interval:
    """Mean and interval of shares, 0 to 1: Student's, unless it would leave [0, 1].

    Then it is Student's for the logit of the mean, whose standard error is the mean's divided by
    ``mean (1 - mean)`` (the delta method). It is not symmetric about the mean.

    Args:
        values: one share of each independent replication.
    """
    found = student_interval(values)
    if not found.is_known or (found.low >= 0 and found.high <= 1) or not 0 < found.mean < 1:
        return found
    centre = math.log(found.mean / (1 - found.mean))
    half = (found.high - found.mean) / (found.mean * (1 - found.mean))
    low, high = (1 / (1 + math.exp(-(centre + sign * half))) for sign in (-1, 1))
    return Interval(found.mean, low, high, found.n)


def prediction_interval(values: Sequence[float]) -> Interval:
    """Mean, and where one more value would lie: ``mean +- t(n - 1) s sqrt(1 + 1/n)``.

    Args:
        values: one figure of each independent replication. If they are normally distributed, the
            interval holds another one's with probability `CONFIDENCE`.
    """
    of_mean = student_interval(values)
    half = (of_mean.high - of_mean.mean) * math.sqrt(of_mean.n + 1)
    return Interval(of_mean.mean, of_mean.mean - half, of_mean.mean + half, of_mean.n)


def detectable_difference(n: int, power: float = 0.8) -> float:
    """How far the mean of one more value must be from the others' to be seen in most cases.

    Args:
        n: how many values a prediction interval is made of, at least 2.
        power: the probability that the value lies outside of the interval.

    Returns:
        The distance in standard deviations of a value, to about three digits. The distance of the
        value from the mean, in estimated standard deviations, has a noncentral t distribution.
    """
    from scipy.special import chdtri, ndtr
    from scipy.stats import t

    edge = float(t.ppf(0.5 + CONFIDENCE / 2, n - 1))
    levels = (np.arange(_LEVELS) + 0.5) / _LEVELS
    estimates = np.sqrt(chdtri(n - 1, levels) / (n - 1))  # equally likely, in true deviations
    low, high = 0.0, 100.0 * edge
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        seen = ndtr(middle - edge * estimates) + ndtr(-middle - edge * estimates)
        low, high = (middle, high) if float(np.mean(seen)) < power else (low, middle)
    return low * math.sqrt(1 + 1 / n)


def quartiles(times: Sequence[float | None]) -> tuple[float | None, float | None]:
    """The lower and upper quartile of times, some of which may be infinite; linear interpolation.

    A time that never came is later than every other; a quartile that lies among those is None.
    """
    known = sorted(math.inf if time is None else time for time in times)
    if not known:
        return None, None
    found = []
    for share in (0.25, 0.75):
        below, part = divmod((len(known) - 1) * share, 1)
        low, high = known[int(below)], known[min(int(below) + 1, len(known) - 1)]
        value = low + part * (high - low) if part else low
        found.append(value if math.isfinite(value) else None)
    return found[0], found[1]


def median_time(times: Sequence[float | None]) -> float | None:
    """The median of times, some of which may be infinite; None if half or more of them are.

    A time that never came is later than every other, so it counts without having a value.
    """
    known = sorted(math.inf if time is None else time for time in times)
    if not known:
        return None
    middle = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
    return None if math.isinf(middle) else middle
