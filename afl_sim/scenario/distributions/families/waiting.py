"""Families on the positive half-line whose tails are light enough for every mean to exist."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from afl_sim.scenario.distributions.elementary import (
    exp,
    expm1,
    log,
    log1p,
    normal,
    normals,
    sqrt,
)
from afl_sim.scenario.distributions.families.family import (
    ABOVE_0,
    Family,
    Floats,
    Scalar,
    mean_by_tail,
    unit_mean,
    up_to,
)


def _expon(u: float) -> float:
    return -log(1 - u)  # 1 - u has all its digits for every u of a stream


def _expons(scale: float) -> Callable[[Floats], Floats]:
    return lambda us: np.array([-scale * log(left) for left in (1 - us).tolist()])


def _gamma(a: float) -> Scalar:
    from scipy.special import gammaincinv

    return lambda u: float(gammaincinv(a, u))


def _gammas(scale: float, a: float) -> Callable[[Floats], Floats]:
    from scipy.special import gammaincinv

    return lambda us: scale * gammaincinv(a, us)


def _gamma_power(a: float, factor: float, power: float) -> Scalar:
    """``factor * G**power``, G being gamma with shape a."""
    from scipy.special import gammaincinv

    return lambda u: factor * float(gammaincinv(a, u)) ** power


def _gamma_root(a: float, factor: float) -> Scalar:
    """``sqrt(factor * G)``, G being gamma with shape a."""
    from scipy.special import gammaincinv

    return lambda u: sqrt(factor * float(gammaincinv(a, u)))


def rising(a: float, x: float) -> float:
    """``gamma(a + x) / gamma(a)``."""
    from scipy.special import poch

    return float(poch(a, x))


def _halfnorm(u: float) -> float:
    return -normal((1 - u) / 2)


def _lognorm(s: float) -> Scalar:
    return lambda u: exp(s * normal(u))


def _lognorms(scale: float, s: float) -> Callable[[Floats], Floats]:
    return lambda us: np.array([scale * exp(x) for x in (s * normals(us)).tolist()])


def _weibull(scale: float, c: float) -> Scalar:
    power = 1 / c
    return lambda u: scale * (-log(1 - u)) ** power


def _weibulls(scale: float, c: float) -> Callable[[Floats], Floats]:
    power = 1 / c
    return lambda us: np.array([scale * (-log(left)) ** power for left in (1 - us).tolist()])


def _exponweib(a: float, c: float) -> Scalar:
    return lambda u: (-log(-expm1(log(u) / a))) ** (1 / c)


def _exponweib_mean(a: float, c: float) -> float:
    def value(t: float) -> float:
        below = -expm1(-t)  # u
        log_u = log(below) if below < 0.5 else log1p(-exp(-t))
        above = -expm1(log_u / a)
        found: float = (-log(above)) ** (1 / c) if above > 0 else (t + log(a)) ** (1 / c)
        return found

    return mean_by_tail(value)


def _powerlognorm(c: float, s: float) -> Scalar:
    from scipy.special import ndtri_exp

    return lambda u: exp(-s * float(ndtri_exp(log(1 - u) / c)))


def _powerlognorm_mean(c: float, s: float) -> float:
    from scipy.special import ndtri_exp

    return mean_by_tail(lambda t: exp(-s * float(ndtri_exp(-t / c))))


def _fatiguelife(c: float) -> Scalar:
    def quantile(u: float) -> float:
        z = c * normal(u) / 2
        root = abs(z) + sqrt(z * z + 1)
        return root * root if z > 0 else 1 / (root * root)

    return quantile


def _gompertz(c: float) -> Scalar:
    return lambda u: log1p(-log(1 - u) / c)


def _genexpon(a: float, b: float, c: float) -> Scalar:
    return lambda u: _genexpon_value(a, b, c, -log(1 - u))


def _genexpon_value(a: float, b: float, c: float, t: float) -> float:
    """The x at which the cumulative hazard ``a x + b (x - (1 - exp(-c x)) / c)`` is t.

    Newton's method from the right, where that function of x is convex, so that it never overshoots.
    """
    x = min((t + b / c) / (a + b), t / a)
    for _ in range(200):
        nearer = x - (a * x + b * _excess(c * x) / c - t) / (a - b * expm1(-c * x))
        if not nearer < x:
            break
        x = max(nearer, 0.0)
    return x


def _excess(y: float) -> float:
    """``y + expm1(-y)`` for y >= 0."""
    if y > 0.01:
        return y + expm1(-y)
    return y * y * (1 / 2 - y * (1 / 6 - y * (1 / 24 - y * (1 / 120 - y / 720))))


def _rice_mean(b: float) -> float:
    from scipy.special import ive

    half = b * b / 2
    bessel = (1 + half) * float(ive(0, half / 2)) + half * float(ive(1, half / 2))
    return sqrt(math.pi / 2) * bessel


def _noncentral(df: float, nc: float) -> Scalar:
    from scipy.special import chndtrix

    if nc == 0:
        return _gamma_power(df / 2, 2.0, 1.0)
    return lambda u: float(chndtrix(u, df, nc))


def _rice(b: float) -> Scalar:
    square = _noncentral(2.0, b * b)
    return lambda u: sqrt(square(u))


def _kolmogorov() -> Scalar:
    from scipy.special import kolmogi

    return lambda u: float(kolmogi(1 - u))


def _halflogistic(u: float) -> float:
    return log1p(u) - log(1 - u)


WAITING: dict[str, Family] = {
    "chi": Family(
        {"df": ABOVE_0},
        lambda df: _gamma_root(df / 2, 2.0),
        lambda df: sqrt(2) * rising(df / 2, 0.5),
    ),
    "chi2": Family({"df": ABOVE_0}, lambda df: _gamma_power(df / 2, 2.0, 1.0), lambda df: df),
    "erlang": Family({"a": ABOVE_0}, _gamma, lambda a: a),
    "expon": Family(
        {},
        lambda: _expon,
        unit_mean(1.0),
        times=lambda scale: lambda u: -scale * log(1 - u),
        times_all=_expons,
    ),
    "exponpow": Family(
        {"b": ABOVE_0},
        lambda b: lambda u: log1p(-log(1 - u)) ** (1 / b),
        lambda b: mean_by_tail(lambda t: log1p(t) ** (1 / b)),
    ),
    "exponweib": Family({"a": ABOVE_0, "c": ABOVE_0}, _exponweib, _exponweib_mean),
    "fatiguelife": Family({"c": ABOVE_0}, _fatiguelife, lambda c: c * c / 2 + 1),
    "gamma": Family({"a": ABOVE_0}, _gamma, lambda a: a, times_all=_gammas),
    "genexpon": Family(
        {"a": ABOVE_0, "b": ABOVE_0, "c": ABOVE_0},
        _genexpon,
        lambda a, b, c: mean_by_tail(lambda t: _genexpon_value(a, b, c, t)),
    ),
    "gibrat": Family({}, lambda: _lognorm(1.0), unit_mean(exp(0.5))),
    "gompertz": Family({"c": ABOVE_0}, _gompertz, lambda c: mean_by_tail(lambda t: log1p(t / c))),
    "halfgennorm": Family(
        {"beta": ABOVE_0},
        lambda beta: _gamma_power(1 / beta, 1.0, 1 / beta),
        lambda beta: rising(1 / beta, 1 / beta),
    ),
    "halflogistic": Family({}, lambda: _halflogistic, unit_mean(2 * log(2))),
    "halfnorm": Family(
        {},
        lambda: _halfnorm,
        unit_mean(sqrt(2 / math.pi)),
        times_all=lambda scale: lambda us: scale * -normals((1 - us) / 2),
    ),
    "kstwobign": Family({}, _kolmogorov, unit_mean(sqrt(math.pi / 2) * log(2))),
    "lognorm": Family(
        {"s": ABOVE_0},
        _lognorm,
        lambda s: exp(s * s / 2),
        times=lambda scale, s: lambda u: scale * exp(s * normal(u)),
        times_all=_lognorms,
    ),
    "maxwell": Family({}, lambda: _gamma_root(1.5, 2.0), unit_mean(2 * sqrt(2 / math.pi))),
    "nakagami": Family(
        {"nu": ABOVE_0},
        lambda nu: _gamma_root(nu, 1 / nu),
        lambda nu: rising(nu, 0.5) / sqrt(nu),
    ),
    "ncx2": Family({"df": ABOVE_0, "nc": up_to(1e6)}, _noncentral, lambda df, nc: df + nc),
    "powerlognorm": Family({"c": ABOVE_0, "s": ABOVE_0}, _powerlognorm, _powerlognorm_mean),
    "rayleigh": Family({}, lambda: lambda u: sqrt(-2 * log(1 - u)), unit_mean(sqrt(math.pi / 2))),
    "rice": Family({"b": up_to(1e3)}, _rice, _rice_mean),
    "weibull_min": Family(
        {"c": ABOVE_0},
        partial(_weibull, 1.0),
        lambda c: math.gamma(1 + 1 / c),
        times=_weibull,
        times_all=_weibulls,
    ),
}
