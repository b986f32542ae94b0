"""Families whose upper tail may fall like a power, so that their mean may be infinite."""

from __future__ import annotations

import math

from afl_sim.scenario.distributions.elementary import (
    LOWEST,
    cos,
    exp,
    expm1,
    log,
    normal,
    sin,
    sqrt,
)
from afl_sim.scenario.distributions.families.family import (
    ABOVE_0,
    ANY,
    AT_LEAST_0,
    NOT_0,
    Family,
    Scalar,
    if_above,
    unit_mean,
)
from afl_sim.scenario.distributions.families.waiting import rising

_EULER = 0.5772156649015329
_NEAR_0 = 1e-15  # a shape of which the limit at 0 has the same digits


def _infinite(*shapes: float) -> float:
    return math.inf


def _alpha(a: float) -> Scalar:
    from scipy.special import ndtr

    mass = float(ndtr(a))
    least = LOWEST / 2 * mass * sqrt(2 * math.pi) * exp(a * a / 2) if a < 8 else 0.0
    # What is left of a in the far tail is of the size of a rounding, but never below its true size
    # at the last number that a stream draws.
    return lambda u: 1 / max(a - normal(u * mass), least)


def _pareto(b: float) -> Scalar:
    return lambda u: (1 - u) ** (-1 / b)


def _power_of_tail(c: float) -> Scalar:
    """``((1 - u)**-c - 1) / c``, which tends to an exponential where c tends to 0."""
    if abs(c) < _NEAR_0:
        return lambda u: -log(1 - u)
    return lambda u: expm1(-c * log(1 - u)) / c


def _power_of_log(c: float) -> Scalar:
    """``(1 - (-log u)**c) / c``, which tends to Gumbel's law where c tends to 0."""
    if abs(c) < _NEAR_0:
        return lambda u: -log(-log(u))
    return lambda u: -expm1(c * log(-log(u))) / c


def _extreme_mean(c: float) -> float:
    if abs(c) < _NEAR_0:
        return _EULER
    if abs(c) < 1e-4:  # log gamma(1 + c) by its series, where 1 - gamma(1 + c) loses digits
        return -expm1(c * (-_EULER + c * (math.pi**2 / 12 - c * 0.400685634386531))) / c
    return (1 - math.gamma(1 + c)) / c


def _grown(x: float, power: float) -> float:
    """``expm1(x)**power`` for x >= 0, also where ``expm1(x)`` is too large for a number."""
    return expm1(x) ** power if x < 700 else exp(x * power)


def _burr(c: float, d: float) -> Scalar:
    return lambda u: _grown(-log(u) / d, -1 / c)


def _burr12(c: float, d: float) -> Scalar:
    return lambda u: _grown(-log(1 - u) / d, 1 / c)


def _kappa3(a: float) -> Scalar:
    factor = a ** (1 / a)
    return lambda u: factor * _grown(-a * log(u), -1 / a)


def _mielke(k: float, s: float) -> Scalar:
    return lambda u: _grown(-s / k * log(u), -1 / s)


def _fisk(c: float) -> Scalar:
    return lambda u: (u / (1 - u)) ** (1 / c)


def _fisk_mean(c: float) -> float:
    angle = math.pi / c
    return angle / sin(angle if angle < math.pi / 2 else math.pi * (1 - 1 / c))


def _halfcauchy(u: float) -> float:
    angle = math.pi / 2 * min(u, 1 - u)
    return sin(angle) / cos(angle) if u < 0.5 else cos(angle) / sin(angle)


def _foldcauchy(c: float) -> Scalar:
    """Solves ``tan(pi u) = 2 x / (1 + c^2 - x^2)``."""
    square = 1 + c * c

    def quantile(u: float) -> float:
        angle = math.pi * min(u, 1 - u)
        slope = cos(angle) / sin(angle)
        root = sqrt(slope * slope + square)
        return square / (slope + root) if u < 0.5 else slope + root

    return quantile


def _levy(u: float) -> float:
    z = normal(u / 2)
    return 1 / (z * z)


def _loglaplace(c: float) -> Scalar:
    return lambda u: (2 * u) ** (1 / c) if u < 0.5 else (2 * (1 - u)) ** (-1 / c)


def _gengamma(a: float, c: float) -> Scalar:
    from scipy.special import gammainccinv, gammaincinv

    inverse = gammaincinv if c > 0 else gammainccinv
    return lambda u: float(inverse(a, u)) ** (1 / c)


def _invgamma(a: float) -> Scalar:
    from scipy.special import gammainccinv

    return lambda u: 1 / float(gammainccinv(a, u))


def _betaprime(a: float, b: float) -> Scalar:
    from scipy.special import betaincinv

    def quantile(u: float) -> float:
        y = float(betaincinv(a, b, u))
        if y <= 0.5:
            return y / (1 - y)
        rest = float(betaincinv(b, a, 1 - u))
        return (1 - rest) / rest

    return quantile


def f_quantile(dfn: float, dfd: float) -> Scalar:
    ratio = _betaprime(dfn / 2, dfd / 2)
    return lambda u: dfd / dfn * ratio(u)


def _kappa4(h: float, k: float) -> Scalar:
    def inner(u: float) -> float:  # log((1 - u**h) / h), and its limit
        power = h * log(u)
        if power > 700:
            return power - log(-h)
        return log(-expm1(power) / h if abs(h) > _NEAR_0 else -log(u))

    if abs(k) < _NEAR_0:
        return lambda u: -inner(u)
    return lambda u: -expm1(k * inner(u)) / k


def _kappa4_low(h: float, k: float) -> float:
    if h > 0:
        return -expm1(-k * log(h)) / k if abs(k) > _NEAR_0 else log(h)
    return 1 / k if k < 0 else -math.inf


def _kappa4_mean(h: float, k: float) -> float:
    from scipy.special import beta, psi

    if k <= -1 or _kappa4_low(h, k) == -math.inf:
        return math.inf
    if abs(h) < 1e-9:
        return _extreme_mean(k)
    if abs(k) < 1e-8:
        return log(h) + float(psi(1 + 1 / h)) + _EULER
    size = abs(h)
    scale: float = size ** (1 + k)
    power = float(beta(1 + k, 1 / h if h > 0 else 1 / size - k)) / scale
    return (1 - power) / k


HEAVY: dict[str, Family] = {
    "alpha": Family({"a": ABOVE_0}, _alpha, _infinite),
    "betaprime": Family(
        {"a": ABOVE_0, "b": ABOVE_0},
        _betaprime,
        lambda a, b: if_above(1, b, lambda: a / (b - 1)),
    ),
    "burr": Family(
        {"c": ABOVE_0, "d": ABOVE_0},
        _burr,
        lambda c, d: if_above(1, c, lambda: rising(d, 1 / c) * math.gamma(1 - 1 / c)),
    ),
    "burr12": Family(
        {"c": ABOVE_0, "d": ABOVE_0},
        _burr12,
        lambda c, d: if_above(1, c * d, lambda: rising(d, -1 / c) * math.gamma(1 + 1 / c)),
    ),
    "f": Family(
        {"dfn": ABOVE_0, "dfd": ABOVE_0},
        f_quantile,
        lambda dfn, dfd: if_above(2, dfd, lambda: dfd / (dfd - 2)),
    ),
    "fisk": Family({"c": ABOVE_0}, _fisk, lambda c: if_above(1, c, lambda: _fisk_mean(c))),
    "foldcauchy": Family({"c": AT_LEAST_0}, _foldcauchy, _infinite),
    "genextreme": Family(
        {"c": ANY},
        _power_of_log,
        lambda c: if_above(-1, c, lambda: _extreme_mean(c)),
        low=lambda c: 1 / c if c < 0 else -math.inf,
    ),
    "gengamma": Family(
        {"a": ABOVE_0, "c": NOT_0},
        _gengamma,
        lambda a, c: if_above(0, a + 1 / c, lambda: rising(a, 1 / c)),
    ),
    "genpareto": Family(
        {"c": ANY}, _power_of_tail, lambda c: if_above(-1, -c, lambda: 1 / (1 - c))
    ),
    "halfcauchy": Family({}, lambda: _halfcauchy, unit_mean(math.inf)),
    "invgamma": Family({"a": ABOVE_0}, _invgamma, lambda a: if_above(1, a, lambda: 1 / (a - 1))),
    "invweibull": Family(
        {"c": ABOVE_0},
        lambda c: lambda u: (-log(u)) ** (-1 / c),
        lambda c: if_above(1, c, lambda: math.gamma(1 - 1 / c)),
    ),
    "kappa3": Family(
        {"a": ABOVE_0},
        _kappa3,
        lambda a: if_above(
            1, a, lambda: a ** (1 / a) * rising(1 / a, 1 / a) * math.gamma(1 - 1 / a)
        ),
    ),
    "kappa4": Family({"h": ANY, "k": ANY}, _kappa4, _kappa4_mean, low=_kappa4_low),
    "levy": Family({}, lambda: _levy, unit_mean(math.inf)),
    "loglaplace": Family(
        {"c": ABOVE_0},
        _loglaplace,
        lambda c: if_above(1, c, lambda: c / (c - 1) * (c / (c + 1))),
    ),
    "lomax": Family(
        {"c": ABOVE_0},
        lambda c: lambda u: expm1(-log(1 - u) / c),
        lambda c: if_above(1, c, lambda: 1 / (c - 1)),
    ),
    "mielke": Family(
        {"k": ABOVE_0, "s": ABOVE_0},
        _mielke,
        lambda k, s: if_above(1, s, lambda: rising(k / s, 1 / s) * math.gamma(1 - 1 / s)),
    ),
    "pareto": Family(
        {"b": ABOVE_0},
        _pareto,
        lambda b: if_above(1, b, lambda: b / (b - 1)),
        low=lambda b: 1.0,
    ),
}
