"""Families of whole numbers with a closed inverse, or a distribution function to search in."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate

from afl_sim.scenario.distributions.elementary import expm1, log, log1p
from afl_sim.scenario.distributions.families.family import (
    ABOVE_0,
    ABOVE_1,
    AT_LEAST_0,
    CHANCE,
    COUNT,
    SHARE,
    WHOLE,
    Family,
    Scalar,
    discrete,
    from_1,
    if_above,
    whole,
)


def searched(reached: Callable[[int, float], bool], low: int, start: float) -> Scalar:
    """The least whole number k from ``low`` on with ``reached(k, u)``.

    Args:
        reached: whether the probability of at most k is u or more.
        low: where the support begins.
        start: near the middle; the search begins there.
    """
    first = low + max(int(start) - low, 0)

    def quantile(u: float) -> float:
        step = 1
        if reached(first, u):
            least, most = low - 1, first
            while most - step >= low and reached(most - step, u):
                most, step = most - step, 2 * step
            least = max(most - step, low - 1)
        else:
            least = first
            while not reached(least + step, u):
                least, step = least + step, 2 * step
            most = least + step
        while most - least > 1:
            middle = (least + most) // 2
            least, most = (least, middle) if reached(middle, u) else (middle, most)
        return float(most)

    return quantile


_HEAD = 64
_STEEP = 1000.0  # 2^-1000 or less is no probability that a stream draws


def _power_sum(first: int, last: float, s: float) -> float:
    """The sum of ``k**-s`` for k from ``first``, which is large, to ``last``, which may be infinite
    where s > 1: Euler and Maclaurin's formula."""

    def at(k: float) -> float:
        """What depends on one end, but for the integral."""
        k2 = 1 / (k * k)
        odd = 1 / 12 - (s + 1) * (s + 2) * k2 / 720 * (1 - (s + 3) * (s + 4) * k2 / 42)
        power: float = k**-s
        return power * s / k * odd

    begin = float(first)
    at_begin: float = begin**-s
    whole: float = begin ** (1 - s)
    if last == math.inf:
        return whole / (s - 1) + at_begin / 2 + at(begin)
    at_last: float = last**-s
    span, power = log(last) - log(begin), 1 - s
    integral = whole * (expm1(power * span) / power if power else span)
    return integral + (at_begin + at_last) / 2 + at(begin) - at(last)


def _zipf_weight(s: float, last: float = math.inf) -> float:
    s = min(s, _STEEP)
    head = math.fsum(k**-s for k in range(1, int(min(_HEAD, last + 1))))
    return head + (_power_sum(_HEAD, last, s) if last >= _HEAD else 0.0)


def _zipf(s: float, last: float = math.inf) -> Scalar:
    """The powers ``k**-s`` for k from 1 to ``last``."""
    s = min(s, _STEEP)
    total = _zipf_weight(s, last)
    head = list(accumulate(k**-s / total for k in range(1, int(min(_HEAD, last + 1)))))

    def reached(k: int, u: float) -> bool:
        return k >= last or _power_sum(k + 1, last, s) <= (1 - u) * total

    tail = searched(reached, _HEAD, _HEAD)

    def quantile(u: float) -> float:
        k = bisect_left(head, u) + 1
        return float(k) if k <= len(head) or last < _HEAD else min(tail(u), last)

    return lambda u: min(quantile(u), last)


def _zipf_mean(a: float) -> float:
    return if_above(2, a, lambda: _zipf_weight(a - 1) / _zipf_weight(a))


def _binom(n: float, p: float) -> Scalar:
    from scipy.special import betainc, betaincc

    def reached(k: int, u: float) -> bool:
        if k >= n:
            return True
        if u > 0.5:
            return bool(betainc(k + 1.0, n - k, p) <= 1 - u)
        return bool(betaincc(k + 1.0, n - k, p) >= u)

    return searched(reached, 0, n * p)


def _nbinom(n: float, p: float) -> Scalar:
    from scipy.special import betainc, betaincc

    def reached(k: int, u: float) -> bool:
        if u > 0.5:
            return bool(betaincc(n, k + 1.0, p) <= 1 - u)
        return bool(betainc(n, k + 1.0, p) >= u)

    return searched(reached, 0, n * (1 - p) / p)


def _poisson(mu: float) -> Scalar:
    from scipy.special import gammainc, gammaincc

    def reached(k: int, u: float) -> bool:
        if u > 0.5:
            return bool(gammainc(k + 1.0, mu) <= 1 - u)
        return bool(gammaincc(k + 1.0, mu) >= u)

    return searched(reached, 0, mu)


def _yulesimon(alpha: float) -> Scalar:
    from scipy.special import beta

    return searched(lambda k, u: bool(k * beta(float(k), alpha + 1) <= 1 - u), 1, 1)


def _geom(p: float) -> Scalar:
    if p == 1:
        return lambda u: 1.0
    rate = log1p(-p)
    return lambda u: float(max(math.ceil(log(1 - u) / rate), 1))


def _planck(rate: float) -> Scalar:
    return lambda u: float(max(math.ceil(-log(1 - u) / rate) - 1, 0))


def _boltzmann(rate: float, n: float) -> Scalar:
    mass = expm1(-rate * n)
    return lambda u: min(float(max(math.ceil(-log1p(u * mass) / rate) - 1, 0)), n - 1)


def _boltzmann_mean(rate: float, n: float) -> float:
    span = rate * n
    if span < 0.02:
        return (n - 1) / 2 - rate * (n * n - 1) / 12
    return 1 / expm1(rate) - (n / expm1(span) if span < 700 else 0.0)


def _randint(low: float, high: float) -> Scalar:
    return lambda u: low + max(math.ceil(u * (high - low)), 1) - 1


def _randint_check(low: float, high: float) -> tuple[str, str] | None:
    return None if low < high else ("high", "more than low (it is not drawn itself)")


COUNTS: dict[str, Family] = {
    "bernoulli": discrete({"p": SHARE}, lambda p: lambda u: 1.0 if 1 - u < p else 0.0, lambda p: p),
    "binom": discrete({"n": whole(0, 1e9), "p": SHARE}, _binom, lambda n, p: n * p),
    "boltzmann": discrete({"lambda_": ABOVE_0, "N": COUNT}, _boltzmann, _boltzmann_mean),
    "geom": discrete({"p": CHANCE}, _geom, lambda p: 1 / p, low=from_1),
    "nbinom": discrete(
        {"n": ABOVE_0, "p": CHANCE},
        _nbinom,
        lambda n, p: n * (1 - p) / p,
        check=lambda n, p: None if n <= 1e9 * p else ("n", "at most 1e9 times p"),
    ),
    "planck": discrete({"lambda_": ABOVE_0}, _planck, lambda rate: 1 / expm1(rate)),
    "poisson": discrete({"mu": AT_LEAST_0}, _poisson, lambda mu: mu),
    "randint": discrete(
        {"low": WHOLE, "high": WHOLE},
        _randint,
        lambda low, high: (low + high - 1) / 2,
        low=lambda low, high: low,
        check=_randint_check,
    ),
    "yulesimon": discrete(
        {"alpha": ABOVE_0},
        _yulesimon,
        lambda alpha: if_above(1, alpha, lambda: alpha / (alpha - 1)),
        low=from_1,
    ),
    "zipf": discrete({"a": ABOVE_1}, _zipf, _zipf_mean, low=from_1),
    "zipfian": discrete(
        {"a": AT_LEAST_0, "n": COUNT},
        _zipf,
        lambda a, n: _zipf_weight(a - 1, n) / _zipf_weight(a, n),
        low=from_1,
    ),
}
