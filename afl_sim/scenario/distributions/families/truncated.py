"""Families that are cut at both ends, out of one with a tail."""

from __future__ import annotations

import math

from afl_sim.scenario.distributions.elementary import HIGHEST, exp, expm1, log, log1p, normal, sqrt
from afl_sim.scenario.distributions.families.family import (
    ABOVE_0,
    ABOVE_1,
    ANY,
    AT_LEAST_0,
    NOT_0,
    Family,
    Scalar,
    mean_by_tail,
)

_TINY = math.ulp(0.0)


def _loguniform(a: float, b: float) -> Scalar:
    start, span = log(a), log(b) - log(a)
    return lambda u: min(max(exp(start + u * span), a), b)


def _loguniform_check(a: float, b: float) -> tuple[str, str] | None:
    return None if b > a else ("b", "more than a")


def _loguniform_mean(a: float, b: float) -> float:
    excess = (b - a) / a
    return (b - a) / (log1p(excess) if excess < 1 else log(b) - log(a))


def _truncexpon(b: float) -> Scalar:
    mass = expm1(-b)
    return lambda u: min(-log1p(u * mass), b)


def _truncexpon_mean(b: float) -> float:
    if b < 0.1:
        return b * (1 / 2 - b * (1 / 12 - b * b * (1 / 720 - b * b / 30240)))
    return 1 - b * exp(-b) / -expm1(-b)


def _truncpareto(b: float, c: float) -> Scalar:
    mass = expm1(-b * log(c))
    return lambda u: min(max(exp(-log1p(u * mass) / b), 1.0), c)


def _truncpareto_mean(b: float, c: float) -> float:
    span = log(c)
    rest = (1 - b) * span
    grown = expm1(rest) / rest if rest else 1.0
    return b * span * grown / -expm1(-b * span)


def _powers(c: float, a: float, b: float) -> tuple[float, float]:
    """``a**c``, and ``b**c``, which may be infinite."""
    try:
        return a**c, b**c
    except OverflowError:
        return a**c, math.inf


def _truncweibull(c: float, a: float, b: float) -> Scalar:
    start, end = _powers(c, a, b)
    mass = expm1(start - end)
    return lambda u: min(max((start - log1p(u * mass)) ** (1 / c), a), b)


def _truncweibull_mean(c: float, a: float, b: float) -> float:
    start, end = _powers(c, a, b)
    mass = expm1(start - end)

    def value(t: float) -> float:  # 1 + u * mass is exp(-t) * -mass + exp(a**c - b**c)
        left = -mass * exp(-t) + (1 + mass)
        inside = -log(left) if left > 0 else end - start
        found: float = (start + max(inside, 0.0)) ** (1 / c)
        return min(max(found, a), b)

    return mean_by_tail(value)


def _truncweibull_check(c: float, a: float, b: float) -> tuple[str, str] | None:
    return None if b > a else ("b", "more than a")


def _density(x: float) -> float:
    return exp(-x * x / 2) / sqrt(2 * math.pi)


def _truncnorm(a: float, b: float) -> Scalar:
    from scipy.special import ndtr  # of exp alone, while erfc of the C library was rewritten

    # In the lower tail, where the distribution function keeps its digits, whichever side it is.
    sign, start, end = (1.0, a, b) if a <= 0 else (-1.0, -a, -b)
    base = float(ndtr(start))
    span = float(ndtr(end)) - base

    def quantile(u: float) -> float:
        p = min(max(base + u * span, _TINY), HIGHEST)  # which may have been rounded to 0 or 1
        return min(max(sign * normal(p), a), b)

    return quantile


def _truncnorm_mean(a: float, b: float) -> float:
    from scipy.special import ndtr

    mass = float(ndtr(b) - ndtr(a) if a <= 0 else ndtr(-a) - ndtr(-b))
    return (_density(a) - _density(b)) / mass


def _truncnorm_check(a: float, b: float) -> tuple[str, str] | None:
    if b <= a:
        return "b", "more than a"
    return ("a", "a cut within 30 standard deviations") if a > 30 or b < -30 else None


_LOGUNIFORM = Family(
    {"a": ABOVE_0, "b": ABOVE_0},
    _loguniform,
    _loguniform_mean,
    low=lambda a, b: a,
    check=_loguniform_check,
)

TRUNCATED: dict[str, Family] = {
    "loguniform": _LOGUNIFORM,
    "reciprocal": _LOGUNIFORM,
    "truncexpon": Family({"b": ABOVE_0}, _truncexpon, _truncexpon_mean),
    "truncnorm": Family(
        {"a": ANY, "b": ANY},
        _truncnorm,
        _truncnorm_mean,
        low=lambda a, b: a,
        check=_truncnorm_check,
    ),
    "truncpareto": Family(
        {"b": NOT_0, "c": ABOVE_1}, _truncpareto, _truncpareto_mean, low=lambda b, c: 1.0
    ),
    "truncweibull_min": Family(
        {"c": ABOVE_0, "a": AT_LEAST_0, "b": ABOVE_0},
        _truncweibull,
        _truncweibull_mean,
        low=lambda c, a, b: a,
        check=_truncweibull_check,
    ),
}
