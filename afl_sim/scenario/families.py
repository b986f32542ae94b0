"""Quantile functions of scipy.stats families, by name.

The families that scenarios use most have closed forms here: a frozen ``scipy.stats`` ``ppf`` costs
about 48 microseconds a draw, these well under two, and they leave ``scipy.stats`` unimported. Every
other name goes through ``scipy.stats``. Parametrisation is scipy's throughout.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Scalar = Callable[[float], float]

_normal = NormalDist().inv_cdf
_LOWEST, _HIGHEST = 2.0**-53, 1 - 2.0**-53  # the ends of what a stream can draw
_TINY = math.ulp(0.0)


@dataclass(frozen=True, slots=True)
class Frozen:
    """One family with all its parameters.

    Attributes:
        quantile: the inverse distribution function on (0, 1).
        quantiles: the same on an array.
        mean: may be infinite.
        low: the lower end of the support.
        continuous: whether single values have no probability.
    """

    quantile: Scalar
    quantiles: Callable[[Floats], Floats]
    mean: float
    low: float
    continuous: bool


@dataclass(frozen=True, slots=True)
class Family:
    """A closed form at loc 0, scale 1: functions of the shapes.

    Attributes:
        shapes: their names.
        standard: gives the quantile function.
        mean: gives the mean.
        low: gives the lower end of the support.
        check: gives what is wrong with the shapes, as (name, what was expected), or None.
        scaled: whether it takes a scale, being continuous.
    """

    shapes: tuple[str, ...]
    standard: Callable[..., Scalar]
    mean: Callable[..., float]
    low: Callable[..., float] = lambda *shapes: 0.0
    check: Callable[..., tuple[str, str] | None] = lambda *shapes: None
    scaled: bool = True


def _expon(u: float) -> float:
    return -math.log1p(-u)


def _halfnorm(u: float) -> float:
    return -_normal((1 - u) / 2)


def _uniform(u: float) -> float:
    return u


def _lognorm(s: float) -> Scalar:
    return lambda u: math.exp(s * _normal(u))


def _weibull(c: float) -> Scalar:
    return lambda u: (-math.log1p(-u)) ** (1 / c)


def _pareto(b: float) -> Scalar:
    return lambda u: (1 - u) ** (-1 / b)


def _gamma(a: float) -> Scalar:
    from scipy.special import gammaincinv

    return lambda u: float(gammaincinv(a, u))


def _above_0(name: str) -> Callable[[float], tuple[str, str] | None]:
    return lambda value: None if value > 0 else (name, "more than 0")


def _cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _truncnorm(a: float, b: float) -> Scalar:
    # In the lower tail, where the distribution function keeps its digits, whichever side it is.
    sign, start, end = (1.0, a, b) if a <= 0 else (-1.0, -a, -b)
    base, span = _cdf(start), _cdf(end) - _cdf(start)

    def quantile(u: float) -> float:
        p = min(max(base + u * span, _TINY), _HIGHEST)  # which may have been rounded to 0 or 1
        return min(max(sign * _normal(p), a), b)

    return quantile


def _truncnorm_mean(a: float, b: float) -> float:
    mass = _cdf(b) - _cdf(a) if a <= 0 else _cdf(-a) - _cdf(-b)
    return (_density(a) - _density(b)) / mass


def _truncnorm_check(a: float, b: float) -> tuple[str, str] | None:
    if b <= a:
        return "b", "more than a"
    return ("a", "a cut within 30 standard deviations") if a > 30 or b < -30 else None


def _randint(low: float, high: float) -> Scalar:
    return lambda u: low + max(math.ceil(u * (high - low)), 1) - 1


def _randint_check(low: float, high: float) -> tuple[str, str] | None:
    if not (low.is_integer() and high.is_integer()):
        return ("low" if not low.is_integer() else "high"), "a whole number"
    return None if low < high else ("high", "more than low (it is not drawn itself)")


COMMON: dict[str, Family] = {
    "expon": Family((), lambda: _expon, lambda: 1.0),
    "gamma": Family(("a",), _gamma, lambda a: a, check=_above_0("a")),
    "halfnorm": Family((), lambda: _halfnorm, lambda: math.sqrt(2 / math.pi)),
    "lognorm": Family(("s",), _lognorm, lambda s: math.exp(s * s / 2), check=_above_0("s")),
    "pareto": Family(
        ("b",),
        _pareto,
        lambda b: b / (b - 1) if b > 1 else math.inf,
        low=lambda b: 1.0,
        check=_above_0("b"),
    ),
    "randint": Family(
        ("low", "high"),
        _randint,
        lambda low, high: (low + high - 1) / 2,
        low=lambda low, high: low,
        check=_randint_check,
        scaled=False,
    ),
    "truncnorm": Family(
        ("a", "b"),
        _truncnorm,
        _truncnorm_mean,
        low=lambda a, b: a,
        check=_truncnorm_check,
    ),
    "uniform": Family((), lambda: _uniform, lambda: 0.5),
    "weibull_min": Family(("c",), _weibull, lambda c: math.gamma(1 + 1 / c), check=_above_0("c")),
}


class Impossible(ValueError):
    """Parameters with which a family is no distribution: the one to blame, if any, and why."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


@cache
def scipy_families() -> dict[str, Any]:
    """Every distribution of ``scipy.stats`` by name (imports it)."""
    import scipy.stats as stats

    found = {
        name: getattr(stats, name)
        for name in dir(stats)
        if isinstance(getattr(stats, name), stats.rv_continuous | stats.rv_discrete)
    }
    return dict(sorted(found.items()))


def family_parameters(name: str) -> tuple[str, ...] | None:
    """The parameters a family takes: its shapes, then loc and (if continuous) scale.

    Returns None for a name that neither this module nor scipy.stats knows.
    """
    if name in COMMON:
        return (*COMMON[name].shapes, "loc", *(["scale"] if COMMON[name].scaled else []))
    family = scipy_families().get(name)
    if family is None:
        return None
    shapes = tuple(s.strip() for s in (family.shapes or "").split(",") if s.strip())
    return (*shapes, "loc", "scale") if hasattr(family, "pdf") else (*shapes, "loc")


def freeze(name: str, parameters: dict[str, float]) -> Frozen:
    """A known family with numbers for all its shapes; loc and scale default to 0 and 1.

    Raises:
        Impossible: scipy would reject the parameters, or draws overflow.
    """
    loc, scale = parameters.get("loc", 0.0), parameters.get("scale", 1.0)
    if scale <= 0:
        raise Impossible(f"got {scale:g}; expected more than 0", "scale")
    shapes = {key: value for key, value in parameters.items() if key not in ("loc", "scale")}
    if name in COMMON:
        frozen = _closed_form(COMMON[name], loc, scale, shapes)
        probes = (_LOWEST, 0.5, _HIGHEST)
    else:
        frozen = _through_scipy(name, parameters)
        probes = (1e-6, 0.5, 1 - 1e-6)
    try:
        finite = all(math.isfinite(frozen.quantile(u)) for u in probes)
    except OverflowError:
        finite = False
    if not finite:
        given = ", ".join(f"{key}={value:g}" for key, value in parameters.items())
        raise Impossible(f"{name} with {given or 'no parameters'} draws no finite numbers")
    return frozen


def _closed_form(family: Family, loc: float, scale: float, shapes: dict[str, float]) -> Frozen:
    values = [shapes[key] for key in family.shapes]
    if (wrong := family.check(*values)) is not None:
        key, expected = wrong
        raise Impossible(f"got {shapes[key]:g}; expected {expected}", key)
    standard = family.standard(*values)
    try:
        mean = loc + scale * family.mean(*values)
    except OverflowError:
        mean = math.inf

    if loc == 0:

        def quantile(u: float) -> float:
            return scale * standard(u)
    else:

        def quantile(u: float) -> float:
            return loc + scale * standard(u)

    low = loc + scale * family.low(*values)
    return Frozen(quantile, partial(_each, quantile), mean, low, family.scaled)


def _each(quantile: Scalar, us: Floats) -> Floats:
    # Element by element on purpose: NumPy's vectorised exp and log differ in the last bit from
    # the scalar ones, and a client's speed must not depend on how many are drawn at once.
    return np.array([quantile(u) for u in us.tolist()], dtype=np.float64)


def _through_scipy(name: str, parameters: dict[str, float]) -> Frozen:
    family = scipy_families()[name]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            frozen = family(**parameters)
            low, mean = float(frozen.support()[0]), float(frozen.mean())
        except Exception as error:
            raise Impossible(f"{name} rejects its parameters: {error}") from None
    ppf = frozen.ppf

    def quantile(u: float) -> float:
        return float(ppf(u))

    def quantiles(us: Floats) -> Floats:
        return np.asarray(ppf(us), dtype=np.float64)

    return Frozen(quantile, quantiles, mean, low, hasattr(family, "pdf"))
