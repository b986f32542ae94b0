"""Families of which only the density has a closed form: their distribution function is a table.

Each is written by the logarithm of its density in a variable in which it is smooth and has one
peak, such as the logarithm of what is drawn. The line is cut into cells, the finer the nearer to
the peak, and each is integrated by Gauss and Legendre's rule. A draw finds its cell and solves for
the place inside. The density need not be normalised.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate

from afl_sim.scenario.distributions.elementary import cos, exp, log, log1p, sqrt
from afl_sim.scenario.distributions.families.family import (
    ABOVE_0,
    ANY,
    Family,
    Impossible,
    Rule,
    Scalar,
    if_above,
    unit_mean,
    up_to,
)

_CELLS = 64  # on each side of the peak
_DROP = 42.0  # of the logarithm: what lies beyond has a probability that no stream draws
_HALF_NODES = (
    (0.0950125098376374, 0.1894506104550685),
    (0.2816035507792589, 0.1826034150449236),
    (0.4580167776572274, 0.1691565193950025),
    (0.6178762444026438, 0.1495959888165767),
    (0.7554044083550030, 0.1246289712555339),
    (0.8656312023878318, 0.0951585116824928),
    (0.9445750230732326, 0.0622535239386479),
    (0.9894009349916499, 0.0271524594117541),
)
_RULE = tuple((sign * node, weight) for node, weight in _HALF_NODES for sign in (-1, 1))
"""Gauss and Legendre's 16 nodes on (-1, 1) and their weights."""


class Table:
    """The integral of a density over an interval, cell by cell.

    Args:
        log_density: its logarithm, smooth and with one peak.
        start: a number inside, near the peak.
        step: the size of a first step from there.
        low, high: the ends of the interval, perhaps infinite.
    """

    def __init__(
        self,
        log_density: Scalar,
        start: float,
        step: float,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> None:
        if step < 1e-6 * (1 + abs(start)):
            raise Impossible("is so narrow that a draw would have few digits; expected a number")
        self._log_density = log_density
        peak = self._find_peak(start, step, low, high)
        self._top = log_density(peak)
        left, right = self._end(peak, -step, low), self._end(peak, step, high)
        grades = [(i / _CELLS) ** 3 for i in range(_CELLS + 1)]
        below = [peak - (peak - left) * grade for grade in reversed(grades)]
        above = [peak + (right - peak) * grade for grade in grades[1:]]
        self._edges = [*below, *above]
        pairs = zip(self._edges[:-1], self._edges[1:], strict=True)
        masses = [self._mass(a, b) for a, b in pairs]
        self._total = math.fsum(masses)
        self._from_left = [0.0, *accumulate(masses)]
        self._from_right = [0.0, *accumulate(reversed(masses))]

    @property
    def log_total(self) -> float:
        """The logarithm of the whole integral."""
        return self._top + log(self._total)

    def quantile(self, u: float) -> float:
        """The place below which a share u of the integral lies."""
        from scipy.optimize import brentq

        edges = self._edges
        if u <= 0.5:
            sums, wanted = self._from_left, u * self._total
        else:
            sums, wanted = self._from_right, (1 - u) * self._total
        cell = min(max(bisect_right(sums, wanted) - 1, 0), len(edges) - 2)
        wanted -= sums[cell]
        if u <= 0.5:
            low, high = edges[cell], edges[cell + 1]
            inside = self._mass(low, high)
        else:
            low, high = edges[-2 - cell], edges[-1 - cell]
            inside = self._mass(low, high)
            wanted = inside - wanted
        wanted = min(max(wanted, 0.0), inside)

        def miss(x: float) -> float:
            return self._mass(low, x) - wanted

        return float(brentq(miss, low, high, xtol=1e-15, rtol=1e-15, maxiter=300))

    def _mass(self, a: float, b: float) -> float:
        middle, half = (a + b) / 2, (b - a) / 2
        terms = (
            weight * exp(self._log_density(middle + half * node) - self._top)
            for node, weight in _RULE
        )
        return half * math.fsum(terms)

    def _find_peak(self, start: float, step: float, low: float, high: float) -> float:
        at = self._log_density
        for direction in (-step, step):  # uphill in longer and longer steps
            while low < start + direction < high and at(start + direction) > at(start):
                start, direction = start + direction, 2 * direction
                step = max(step, abs(direction))
        a, b = max(start - step, low), min(start + step, high)
        for _ in range(100):
            third = (b - a) / 3
            a, b = (a + third, b) if at(a + third) < at(b - third) else (a, b - third)
        return (a + b) / 2

    def _end(self, peak: float, step: float, bound: float) -> float:
        """Where the density has become too small to matter, or the interval ends."""
        end = peak + step
        while abs(end - peak) < abs(bound - peak):
            if self._log_density(end) < self._top - _DROP:
                return end
            end = peak + 2 * (end - peak)
        return bound


def _quantile(table: Table, value: Scalar) -> Scalar:
    return lambda u: value(table.quantile(u))


def _geninvgauss(p: float, b: float) -> Table:
    """In the logarithm of what is drawn."""
    ratio = p / b
    size = log(abs(ratio) + sqrt(ratio * ratio + 1))
    peak = math.copysign(size, ratio)
    width = 1 / sqrt(b * (exp(peak) + exp(-peak)) / 2)
    return Table(lambda s: p * s - b * (exp(s) + exp(-s)) / 2, peak, width)


def _gausshyper(a: float, b: float, c: float, z: float) -> Table:
    """In the logit of what is drawn."""

    def log_density(s: float) -> float:
        small = log1p(exp(-abs(s)))
        log_x, log_rest = min(s, 0.0) - small, min(-s, 0.0) - small
        return a * log_x + b * log_rest - c * log1p(z * exp(log_x))

    return Table(log_density, log(a) - log(b), 1 / sqrt(a + b))


def _gausshyper_mean(a: float, b: float, c: float, z: float) -> float:
    return exp(_gausshyper(a + 1, b, c, z).log_total - _gausshyper(a, b, c, z).log_total)


def _logistic(s: float) -> float:
    return 1 / (1 + exp(-s)) if s > -700 else 0.0


def _vonmises(kappa: float) -> Table:
    step = 1 / sqrt(kappa + 1)
    return Table(lambda x: kappa * (cos(x) - 1), 0.0, step, -math.pi, math.pi)


def _dpareto(s: float, a: float, b: float) -> Table:
    """In the logarithm of what is drawn, less u, in units of s."""
    from scipy.special import erfcx, log_ndtr

    def side(t: float, z: float) -> float:
        """``log(2 phi(z) Phi(-t) / phi(t))``, up to a constant."""
        if t > 0:
            return log(float(erfcx(t / sqrt(2)))) - z * z / 2
        return log(2) + float(log_ndtr(-t)) + (t - z) * (t + z) / 2

    def log_density(z: float) -> float:
        right, left = side(a * s - z, z), side(b * s + z, z)
        return max(left, right) + log1p(exp(-abs(left - right)))

    return Table(log_density, 0.0, 1.0)


def _dpareto_quantile(u: float, s: float, a: float, b: float) -> Scalar:
    return _quantile(_dpareto(s, a, b), lambda z: exp(u + s * z))


def _dpareto_mean(u: float, s: float, a: float, b: float) -> float:
    return if_above(1, a, lambda: a * b / ((a - 1) * (b + 1)) * exp(u + s * s / 2))


_ABOVE_MINUS_1 = Rule(lambda value: value > -1, "more than -1")

TABULATED: dict[str, Family] = {
    "dpareto_lognorm": Family(
        {"u": ANY, "s": ABOVE_0, "a": ABOVE_0, "b": ABOVE_0}, _dpareto_quantile, _dpareto_mean
    ),
    "gausshyper": Family(
        {"a": ABOVE_0, "b": ABOVE_0, "c": ANY, "z": _ABOVE_MINUS_1},
        lambda a, b, c, z: _quantile(_gausshyper(a, b, c, z), _logistic),
        _gausshyper_mean,
    ),
    "geninvgauss": Family(
        {"p": ANY, "b": ABOVE_0},
        lambda p, b: _quantile(_geninvgauss(p, b), exp),
        lambda p, b: exp(_geninvgauss(p + 1, b).log_total - _geninvgauss(p, b).log_total),
    ),
    "vonmises_line": Family(
        {"kappa": up_to(1e6)},
        lambda kappa: _vonmises(kappa).quantile,
        unit_mean(0.0),
        low=lambda kappa: -math.pi,
    ),
}
