"""Families of whole numbers that are drawn from a table of their probabilities.

Each probability is made from the one before by a ratio, so that no special function is needed.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from itertools import accumulate

from afl_sim.scenario.distributions.elementary import log1p
from afl_sim.scenario.distributions.families.family import (
    ABOVE_0,
    AMOUNT,
    INSIDE,
    Family,
    Impossible,
    Scalar,
    discrete,
    from_1,
    if_above,
)

MOST = 1 << 16
"""Entries of a table: a few MiB, and a tenth of a second to make."""
_NEGLIGIBLE = 2.0**-60  # next to 2^-53, the smallest probability of a stream


def listed(low: int, weights: list[float]) -> Scalar:
    """By a table of the probabilities of ``low``, ``low + 1``, ..., in proportion to weights."""
    sums = array("d", accumulate(weights))
    total, last = sums[-1], len(sums) - 1
    return lambda u: float(low + min(bisect_left(sums, u * total), last))


def by_ratio(low: int, high: float, ratio: Scalar) -> tuple[int, list[float]]:
    """Weights of the numbers from ``low`` to ``high``, as far as they matter, and the first number.

    Args:
        low, high: the ends of the support.
        ratio: the probability of k + 1 divided by that of k.

    Raises:
        Impossible: there are too many of them.
    """
    middle = _peak(low, high, ratio)
    up = _weights(middle, high, ratio, 1)
    down = _weights(middle, low, lambda k: 1 / ratio(k - 1), -1)
    return middle - len(down), [*reversed(down), 1.0, *up]


def _peak(low: int, high: float, ratio: Scalar) -> int:
    """The least number that is more probable than the next, where they rise and then fall."""
    step = 1
    while low + step < high and ratio(low + step) >= 1:
        step *= 2
    most = int(min(low + step, high))
    while low < most:
        middle = (low + most) // 2
        low, most = (middle + 1, most) if ratio(middle) >= 1 else (low, middle)
    return low


def _weights(begin: int, end: float, factor_of: Scalar, step: int) -> list[float]:
    """The weights after that of ``begin``, which is 1, up to the end or to where the rest is so
    small that no stream draws it."""
    found: list[float] = []
    k, weight, largest = begin, 1.0, 1.0
    while k != end:
        factor = factor_of(k)
        weight *= factor
        largest = max(largest, weight)
        # The rest is about a geometric series, and that of a power of k is of the same size.
        if factor < 1 and weight < _NEGLIGIBLE * largest * (1 - factor):
            break
        found.append(weight)
        k += step
        if len(found) > MOST:
            raise Impossible(
                f"spreads over more than {MOST:,} numbers; expected a narrower distribution, or a "
                "family that is drawn without a table, such as binom, nbinom, poisson or gamma"
            )
    return found


def _table_mean(low: int, weights: list[float]) -> float:
    beyond = math.fsum(i * weight for i, weight in enumerate(weights))
    return low + beyond / math.fsum(weights)


def _logser(p: float) -> Scalar:
    return listed(*by_ratio(1, math.inf, lambda k: p * k / (k + 1)))


def _betabinom(n: float, a: float, b: float) -> Scalar:
    return listed(*by_ratio(0, n, lambda k: (n - k) / (k + 1) * ((k + a) / (n - k - 1 + b))))


def _betanbinom(n: float, a: float, b: float) -> Scalar:
    if n == 0:
        return lambda u: 0.0
    return listed(*by_ratio(0, math.inf, lambda k: (n + k) / (k + 1) * ((b + k) / (a + n + b + k))))


def _urn_low(M: float, n: float, N: float, odds: float = 1.0) -> float:
    return max(N - (M - n), 0.0)


def _fisher(M: float, n: float, N: float, odds: float = 1.0) -> tuple[int, list[float]]:
    return by_ratio(
        int(_urn_low(M, n, N)),
        min(n, N),
        lambda k: odds * ((n - k) / (k + 1)) * ((N - k) / (M - n - N + k + 1)),
    )


def _wallenius(M: float, n: float, N: float, odds: float) -> tuple[int, list[float]]:
    from scipy.stats import nchypergeom_wallenius

    low, high = int(_urn_low(M, n, N)), int(min(n, N))
    if high - low > 10_000 or M > 2**31 - 1:
        raise Impossible("spreads over more than 10,000 numbers; expected nchypergeom_fisher")
    found = nchypergeom_wallenius.pmf(range(low, high + 1), int(M), int(n), int(N), odds)
    return low, [float(weight) for weight in found]


def _urn_check(M: float, n: float, N: float, odds: float = 1.0) -> tuple[str, str] | None:
    if n > M:
        return "n", "at most M"
    return ("N", "at most M") if N > M else None


def _nhypergeom(M: float, n: float, r: float) -> Scalar:
    if r == 0 or n == 0:
        return lambda u: 0.0
    return listed(*by_ratio(0, n, lambda k: (k + r) / (k + 1) * ((n - k) / (M - r - k))))


def _nhypergeom_check(M: float, n: float, r: float) -> tuple[str, str] | None:
    if n > M:
        return "n", "at most M"
    return ("r", "at most M - n") if r > M - n else None


_URN = {"M": AMOUNT, "n": AMOUNT, "N": AMOUNT}

LISTED: dict[str, Family] = {
    "betabinom": discrete(
        {"n": AMOUNT, "a": ABOVE_0, "b": ABOVE_0}, _betabinom, lambda n, a, b: n * (a / (a + b))
    ),
    "betanbinom": discrete(
        {"n": AMOUNT, "a": ABOVE_0, "b": ABOVE_0},
        _betanbinom,
        lambda n, a, b: if_above(1, a, lambda: n * b / (a - 1)),
    ),
    "hypergeom": discrete(
        _URN,
        lambda M, n, N: listed(*_fisher(M, n, N)),
        lambda M, n, N: n * (N / M) if M else 0.0,
        low=_urn_low,
        check=_urn_check,
    ),
    "logser": discrete({"p": INSIDE}, _logser, lambda p: -p / ((1 - p) * log1p(-p)), low=from_1),
    "nchypergeom_fisher": discrete(
        {**_URN, "odds": ABOVE_0},
        lambda M, n, N, odds: listed(*_fisher(M, n, N, odds)),
        lambda M, n, N, odds: _table_mean(*_fisher(M, n, N, odds)),
        low=_urn_low,
        check=_urn_check,
    ),
    "nchypergeom_wallenius": discrete(
        {**_URN, "odds": ABOVE_0},
        lambda M, n, N, odds: listed(*_wallenius(M, n, N, odds)),
        lambda M, n, N, odds: _table_mean(*_wallenius(M, n, N, odds)),
        low=_urn_low,
        check=_urn_check,
    ),
    "nhypergeom": discrete(
        {"M": AMOUNT, "n": AMOUNT, "r": AMOUNT},
        _nhypergeom,
        lambda M, n, r: r * n / (M - n + 1),
        check=_nhypergeom_check,
    ),
}
