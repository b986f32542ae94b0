"""Means that are rounded as their errors say.

The error of a mean is half of Student's 95 % interval over replications. It is rounded by the rule
of the Particle Data Group (Review of Particle Physics, section "Rounding"): its three leading
digits decide whether it keeps one digit or two, and the mean is rounded at the same place.
"""

from __future__ import annotations

import math

from afl_sim.analysis.statistics import Interval


def rounded(interval: Interval) -> str:
    """Mean and half-width, rounded as the module's docstring says; ``-`` if there is no value."""
    if math.isnan(interval.mean):
        return "-"
    half = interval.high - interval.mean
    if not interval.is_known or half == 0:
        return _plain(interval.mean)
    places = decimals((interval.high - interval.low) / 2)
    low, mean, high, half_text = (
        f"{round(x, places):.{max(0, places)}f}"
        for x in (interval.low, interval.mean, interval.high, half)
    )
    if is_symmetric(interval):
        return f"{mean} ± {half_text}"
    return f"{mean} [{low}, {high}]"


def is_symmetric(interval: Interval) -> bool:
    """Whether the mean is in the middle, as it is but for shares near 0 or 100 %."""
    return math.isclose(interval.high - interval.mean, interval.mean - interval.low, rel_tol=1e-6)


def decimals(error: float) -> int:
    """The decimal place at which a positive error, and so its mean, is rounded.

    If the three leading digits are from 100 to 354, two digits are kept; from 355 to 949 one; from
    950 the error is rounded up to 1000 and keeps two. Negative places are before the point.
    """
    exponent = math.floor(math.log10(error))
    leading = round(error / 10.0 ** (exponent - 2))
    if leading > 999:
        exponent, leading = exponent + 1, 100
    if leading <= 354:
        return 1 - exponent
    return -exponent  # 950 and more become 10 at this place, which are two digits


def _plain(value: float) -> str:
    """A number without an error, in four digits; whole numbers in all of theirs."""
    if value == round(value) and abs(value) < 1e15:
        return f"{value:.0f}"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
