"""Families on a bounded interval."""

from __future__ import annotations

import math

from afl_sim.scenario.distributions.elementary import (
    atan2,
    cos,
    exp,
    expm1,
    log,
    log1p,
    normal,
    sin,
    sqrt,
)
from afl_sim.scenario.distributions.families.family import (
    ABOVE_0,
    ANY,
    INSIDE,
    SHARE,
    Family,
    Scalar,
    mean_by_tail,
    unit_mean,
    whole,
)


def _uniform(u: float) -> float:
    return u


def _anglit(u: float) -> float:
    return atan2(sqrt(u), sqrt(1 - u)) - math.pi / 4


def _arcsine(u: float) -> float:
    root = sin(math.pi / 2 * u) if u < 0.5 else cos(math.pi / 2 * (1 - u))
    return root * root


def _argus(chi: float) -> Scalar:
    from scipy.special import gammainc, gammaincinv

    half = chi * chi / 2
    mass = float(gammainc(1.5, half))
    if mass < 1e-200:  # the limit, 1 - x^2 = (1 - u)^(2/3)
        return lambda u: sqrt(-expm1(2 / 3 * log(1 - u)))
    return lambda u: sqrt(max(1 - float(gammaincinv(1.5, (1 - u) * mass)) / half, 0.0))


def _argus_mean(chi: float) -> float:
    from scipy.special import gammainc, ive

    mass = float(gammainc(1.5, chi * chi / 2))
    if mass < 1e-200:
        return 3 * math.pi / 16
    if chi > 1e4:
        return 1 - 1.5 / chi / chi
    return sqrt(math.pi / 2) * chi * float(ive(1, chi * chi / 4)) / mass


def _beta(a: float, b: float) -> Scalar:
    from scipy.special import betaincinv

    return lambda u: float(betaincinv(a, b, u))


def _symmetric_beta(c: float) -> Scalar:
    """On (-1, 1)."""
    from scipy.special import betaincinv

    return lambda u: 2 * float(betaincinv(c / 2, c / 2, u)) - 1


def _bradford(c: float) -> Scalar:
    span = log1p(c)
    return lambda u: expm1(u * span) / c


def _bradford_mean(c: float) -> float:
    if c < 1e-3:
        return 1 / 2 - c * (1 / 12 - c * (1 / 24 - c * (19 / 720 - c * 3 / 160)))
    return 1 / log1p(c) - 1 / c


def _cosine(u: float) -> float:
    """Solves ``x + sin(x) = pi (2 u - 1)`` by bisection, then by Newton's method."""
    target = math.pi * (1 - 2 * min(u, 1 - u))
    low, high = 0.0, math.pi
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if middle + sin(middle) < target else (low, middle)
    x = high
    for _ in range(4):
        slope = 2 * cos(x / 2) * cos(x / 2)
        if slope > 0:
            x = min(max(x - (x + sin(x) - target) / slope, low), high)
    return x if u > 0.5 else -x


def _genhalflogistic(c: float) -> Scalar:
    return lambda u: -expm1(c * (log(1 - u) - log1p(u))) / c


def _genhalflogistic_mean(c: float) -> float:
    return mean_by_tail(lambda t: -expm1(c * (-t - log1p(-expm1(-t)))) / c)


def _johnsonsb(a: float, b: float) -> Scalar:
    return lambda u: _logistic((normal(u) - a) / b)


def _johnsonsb_mean(a: float, b: float) -> float:
    def value(t: float) -> float:
        z = -normal(exp(-t)) if t > 0.7 else normal(-expm1(-t))
        return _logistic((z - a) / b)

    return mean_by_tail(lambda t: value(min(t, 700.0)) if t > 1e-300 else 0.0)


def _logistic(x: float) -> float:
    return 1 / (1 + exp(-x)) if x > -700 else 0.0


def _smirnov(n: float) -> Scalar:
    from scipy.special import smirnovi

    return lambda u: float(smirnovi(int(n), 1 - u))


def _smirnov_mean(n: float) -> float:
    """``n! / (2 n^(n + 1))`` times the sum of ``n^k / k!`` for k from 0 to n - 1."""
    term = total = 1.0
    for k in range(int(n) - 1, 0, -1):  # n! / n^n times each term, from the last one down
        term *= k / n
        total += term
    return total / (2 * n)


def _powerlaw(a: float) -> Scalar:
    return lambda u: u ** (1 / a)


def _trapezoid(c: float, d: float) -> Scalar:
    width = 1 + d - c
    rising, falling = c / width, (1 - d) / width

    def quantile(u: float) -> float:
        if u < rising:
            return sqrt(u * c * width)
        if 1 - u < falling:
            return 1 - sqrt((1 - u) * width * (1 - d))
        return (u * width + c) / 2

    return quantile


def _trapezoid_check(c: float, d: float) -> tuple[str, str] | None:
    return None if d >= c else ("d", "c or more")


def _triang(c: float) -> Scalar:
    return lambda u: sqrt(c * u) if u < c else 1 - sqrt((1 - c) * (1 - u))


def _tukeylambda(lam: float) -> Scalar:
    if abs(lam) < 1e-15:
        return lambda u: log(u / (1 - u))
    return lambda u: (expm1(lam * log(u)) - expm1(lam * log(1 - u))) / lam


def _wrapcauchy(c: float) -> Scalar:
    ratio = (1 - c) / (1 + c)

    def quantile(u: float) -> float:
        angle = math.pi * min(u, 1 - u)
        half = atan2(ratio * sin(angle), cos(angle))
        return 2 * half if u < 0.5 else 2 * (math.pi - half)

    return quantile


BOUNDED: dict[str, Family] = {
    "anglit": Family({}, lambda: _anglit, unit_mean(0.0), low=lambda: -math.pi / 4),
    "arcsine": Family({}, lambda: _arcsine, unit_mean(0.5)),
    "argus": Family({"chi": ABOVE_0}, _argus, _argus_mean),
    "beta": Family({"a": ABOVE_0, "b": ABOVE_0}, _beta, lambda a, b: a / (a + b)),
    "bradford": Family({"c": ABOVE_0}, _bradford, _bradford_mean),
    "cosine": Family({}, lambda: _cosine, unit_mean(0.0), low=lambda: -math.pi),
    "genhalflogistic": Family({"c": ABOVE_0}, _genhalflogistic, _genhalflogistic_mean),
    "johnsonsb": Family({"a": ANY, "b": ABOVE_0}, _johnsonsb, _johnsonsb_mean),
    "ksone": Family({"n": whole(1, 1000)}, _smirnov, _smirnov_mean),
    "powerlaw": Family({"a": ABOVE_0}, _powerlaw, lambda a: a / (a + 1)),
    "rdist": Family({"c": ABOVE_0}, _symmetric_beta, unit_mean(0.0), low=lambda c: -1.0),
    "semicircular": Family({}, lambda: _symmetric_beta(3.0), unit_mean(0.0), low=lambda: -1.0),
    "trapezoid": Family(
        {"c": SHARE, "d": SHARE},
        _trapezoid,
        lambda c, d: (1 + d + d * d - c * c) / (3 * (1 + d - c)),
        check=_trapezoid_check,
    ),
    "triang": Family({"c": SHARE}, _triang, lambda c: (c + 1) / 3),
    "tukeylambda": Family(
        {"lam": ANY},
        _tukeylambda,
        unit_mean(0.0),
        low=lambda lam: -1 / lam if lam > 0 else -math.inf,
    ),
    "uniform": Family(
        {}, lambda: _uniform, unit_mean(0.5), times_all=lambda scale: lambda us: scale * us
    ),
    "wrapcauchy": Family({"c": INSIDE}, _wrapcauchy, unit_mean(math.pi)),
}
