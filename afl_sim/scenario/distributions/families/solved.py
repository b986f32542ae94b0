"""Families whose distribution function has a closed form, but not its inverse."""

from __future__ import annotations

import math

from afl_sim.scenario.distributions.elementary import atan, atan2, exp, log, log1p, sqrt
from afl_sim.scenario.distributions.families.family import (
    ABOVE_0,
    AT_LEAST_0,
    Family,
    Scalar,
    if_above,
    unit_mean,
    up_to,
    whole,
)
from afl_sim.scenario.distributions.families.heavy import f_quantile
from afl_sim.scenario.distributions.families.listed import by_ratio


def solved(below: Scalar, above: Scalar, start: float, high: float = math.inf) -> Scalar:
    """The inverse of a distribution function on (0, high).

    Args:
        below: the probability of being at most x.
        above: that of being more than x; each of the two is asked for where it is the smaller one.
        start: a number inside; the search begins there.
        high: the upper end.
    """
    from scipy.optimize import brentq

    def quantile(u: float) -> float:
        def miss(x: float) -> float:
            return below(x) - u if u <= 0.5 else (1 - u) - above(x)

        low = end = start
        if miss(start) < 0:
            while miss(end) < 0 and end < high:
                low, end = end, min(2 * end, high)
        else:
            while low > math.ulp(0.0) and miss(low) >= 0:
                low, end = low / 2, low
        if end >= high and miss(high) <= 0:
            return high
        return float(brentq(miss, low, end, xtol=math.ulp(0.0), rtol=1e-15, maxiter=300))

    return quantile


def _foldnorm(c: float) -> Scalar:
    from scipy.special import ndtr

    return solved(
        lambda x: float(ndtr(x - c) - ndtr(-x - c)),
        lambda x: float(ndtr(c - x) + ndtr(-x - c)),
        c + 1,
    )


def _foldnorm_mean(c: float) -> float:
    from scipy.special import erf

    return sqrt(2 / math.pi) * exp(-c * c / 2) + c * float(erf(c / sqrt(2)))


def _invgauss_tails(mu: float) -> tuple[Scalar, Scalar]:
    from scipy.special import erfcx, log_ndtr, ndtr

    def below(x: float) -> float:
        root = sqrt(x)
        far = (x / mu + 1) / root
        return float(ndtr((x / mu - 1) / root)) + exp(2 / mu + float(log_ndtr(-far)))

    def above(x: float) -> float:
        root = sqrt(x)
        near, far = (x / mu - 1) / root, (x / mu + 1) / root
        if near < 0:
            return 1 - below(x)
        ratio = float(erfcx(near / sqrt(2)) - erfcx(far / sqrt(2)))
        return exp(-near * near / 2) * ratio / 2

    return below, above


def _invgauss(mu: float) -> Scalar:
    below, above = _invgauss_tails(mu)
    return solved(below, above, mu / (1 + mu))


def _recipinvgauss(mu: float) -> Scalar:
    """1 / X, X being inverse Gaussian."""
    below, above = _invgauss_tails(mu)
    return solved(lambda x: above(1 / x), lambda x: below(1 / x), (1 + mu) / mu)


def _breit_wigner(rho: float) -> Scalar:
    """The density is ``scale / ((x^2 - rho^2)^2 + rho^2)``, the imaginary part of a simpler one:
    ``scale / rho * Im(1 / (x^2 - z))``, ``z = rho^2 + i rho``, with the primitive
    ``Im(log((x - w) / (x + w)) / (2 w))``, ``w = sqrt(z)``."""
    size = rho * sqrt(rho * rho + 1)
    p = sqrt((size + rho * rho) / 2)
    q = rho / (2 * p)
    scale = _breit_wigner_scale(rho)

    def rest(x: float) -> float:
        """The primitive, which is 0 at infinity."""
        over = (x + p) * (x + p) + q * q
        if p / 2 < x < 2 * p:
            real = log(((x - p) * (x - p) + q * q) / over) / 2
        else:
            real = log1p(-4 * x * p / over) / 2
        angle = atan2(-q, x - p) - atan2(q, x + p)
        return (angle * p - real * q) / (2 * size)

    total = rest(0.0)

    def above(x: float) -> float:
        return -scale / rho * rest(x)

    return solved(lambda x: scale / rho * (rest(x) - total), above, max(rho, 1e-3))


def _breit_wigner_scale(rho: float) -> float:
    size = rho * sqrt(rho * rho + 1)
    return 2 * sqrt(2) / math.pi * rho * size / sqrt(rho * rho + size)


def _breit_wigner_mean(rho: float) -> float:
    return _breit_wigner_scale(rho) / (2 * rho) * (math.pi / 2 + atan(rho))


def _irwinhall(n: float) -> Scalar:
    import numpy as np
    from scipy.interpolate import BSpline

    count = int(n)
    density = BSpline.basis_element(np.arange(count + 1.0), extrapolate=False)
    mass = density.antiderivative()
    start = float(mass(0.0))

    def below(x: float) -> float:
        return float(mass(x)) - start

    return solved(below, lambda x: below(n - x), n / 2, high=n)


def _ncf(dfn: float, dfd: float, nc: float) -> Scalar:
    """A mixture over j, Poisson with mean nc / 2, of F with ``dfn + 2 j`` degrees of freedom."""
    import numpy as np
    from scipy.special import betainc, betaincc

    if nc == 0:
        return f_quantile(dfn, dfd)
    first, found = by_ratio(0, math.inf, lambda j: nc / 2 / (j + 1))
    weights = np.array(found) / math.fsum(found)
    degrees = dfn / 2 + first + np.arange(len(found))

    def below(x: float) -> float:
        ratio = dfn * x
        if ratio < dfd:
            return float((weights * betainc(degrees, dfd / 2, ratio / (dfd + ratio))).sum())
        return float((weights * betaincc(dfd / 2, degrees, dfd / (dfd + ratio))).sum())

    def above(x: float) -> float:
        ratio = dfn * x
        if ratio < dfd:
            return float((weights * betaincc(degrees, dfd / 2, ratio / (dfd + ratio))).sum())
        return float((weights * betainc(dfd / 2, degrees, dfd / (dfd + ratio))).sum())

    return solved(below, above, (dfn + nc) / dfn)


def _ncf_mean(dfn: float, dfd: float, nc: float) -> float:
    return if_above(2, dfd, lambda: dfd / dfn * (dfn + nc) / (dfd - 2))


SOLVED: dict[str, Family] = {
    "foldnorm": Family({"c": AT_LEAST_0}, _foldnorm, _foldnorm_mean),
    "invgauss": Family({"mu": ABOVE_0}, _invgauss, lambda mu: mu),
    "irwinhall": Family({"n": whole(1, 200)}, _irwinhall, lambda n: n / 2),
    "ncf": Family({"dfn": ABOVE_0, "dfd": ABOVE_0, "nc": up_to(1e3)}, _ncf, _ncf_mean),
    "recipinvgauss": Family({"mu": ABOVE_0}, _recipinvgauss, lambda mu: 1 / mu + 1),
    "rel_breitwigner": Family({"rho": ABOVE_0}, _breit_wigner, _breit_wigner_mean),
    "wald": Family({}, lambda: _invgauss(1.0), unit_mean(1.0)),
}
