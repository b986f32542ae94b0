"""Quantile functions and means of ``scipy.stats`` families, by name.

Each family is written out here, in scipy's parametrisation and with its special functions: a draw
then has the same bits on every processor (see `elementary`), its mean is right even where it is
infinite, and it costs a small part of a draw by a frozen ``scipy.stats`` distribution, which is
left unimported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from afl_sim.scenario.distributions.elementary import HIGHEST, LOWEST, each
from afl_sim.scenario.distributions.families.bounded import BOUNDED
from afl_sim.scenario.distributions.families.counts import COUNTS
from afl_sim.scenario.distributions.families.family import (
    Family,
    Floats,
    Frozen,
    Impossible,
    Scalar,
)
from afl_sim.scenario.distributions.families.heavy import HEAVY
from afl_sim.scenario.distributions.families.listed import LISTED
from afl_sim.scenario.distributions.families.solved import SOLVED
from afl_sim.scenario.distributions.families.tabulated import TABULATED
from afl_sim.scenario.distributions.families.truncated import TRUNCATED
from afl_sim.scenario.distributions.families.waiting import WAITING

__all__ = ["COMMON", "FAMILIES", "Frozen", "Impossible", "family_parameters", "freeze", "unfit"]

FAMILIES: dict[str, Family] = dict(
    sorted(
        {
            **BOUNDED,
            **COUNTS,
            **HEAVY,
            **LISTED,
            **SOLVED,
            **TABULATED,
            **TRUNCATED,
            **WAITING,
        }.items()
    )
)
"""Every family that a scenario may name."""

COMMON = (
    "expon",
    "gamma",
    "halfnorm",
    "lognorm",
    "pareto",
    "randint",
    "truncnorm",
    "uniform",
    "weibull_min",
)
"""Those that scenarios use most: examples for the schema and for hints."""

_UNBOUNDED = (
    "cauchy crystalball dgamma dlaplace dweibull exponnorm genhyperbolic genlogistic gennorm "
    "gumbel_l gumbel_r hypsecant jf_skew_t johnsonsu laplace laplace_asymmetric landau levy_l "
    "levy_stable loggamma logistic moyal nct norm norminvgauss pearson3 powernorm skellam "
    "skewcauchy skewnorm t vonmises weibull_max"
)
_LEFT_OUT = {
    "kstwo": "ksone or kstwobign",
    "poisson_binom": "binom or bernoulli",
    "studentized_range": "gamma, lognorm or rice",
}


def family_parameters(name: str) -> tuple[str, ...] | None:
    """The parameters a family takes: its shapes, then loc and (if continuous) scale; or None."""
    family = FAMILIES.get(name)
    if family is None:
        return None
    return (*family.shapes, "loc", *(["scale"] if family.continuous else []))


def unfit(name: str, *, signed: bool = False) -> str | None:
    """Why a distribution of ``scipy.stats`` is not among `FAMILIES`; None if it has none such.

    Args:
        name: of the distribution.
        signed: whether numbers below 0 would do.
    """
    if name in _UNBOUNDED.split():
        if signed:
            return f"{name} has no lower end; expected a family that has, as truncnorm and uniform"
        return (
            f"{name} reaches below 0 (its support starts at -inf); expected a family that does "
            "not, such as lognorm, gamma, halfnorm or truncnorm"
        )
    if name in _LEFT_OUT:
        return f"{name} is not supported; expected another family, such as {_LEFT_OUT[name]}"
    import scipy.stats  # which takes a second, and only a mistake comes here

    found = getattr(scipy.stats, name, None)
    if isinstance(found, scipy.stats.rv_continuous | scipy.stats.rv_discrete):
        return f"{name} is not supported; 'afl-sim list distributions' lists the families that are"
    return None


def freeze(name: str, parameters: dict[str, float]) -> Frozen:
    """A known family with numbers for all its shapes; loc and scale default to 0 and 1.

    Raises:
        Impossible: the family is no distribution with them, or draws overflow.
    """
    family = FAMILIES[name]
    loc, scale = parameters.get("loc", 0.0), parameters.get("scale", 1.0)
    if scale <= 0:
        raise Impossible(f"got {scale:g}; expected more than 0", "scale")
    shapes = {key: parameters[key] for key in family.shapes}
    for key, rule in family.shapes.items():
        if not rule.holds(shapes[key]):
            raise Impossible(f"got {shapes[key]:g}; expected {rule.expected}", key)
    values = list(shapes.values())
    if (wrong := family.check(*values)) is not None:
        raise Impossible(f"got {shapes[wrong[0]]:g}; expected {wrong[1]}", wrong[0])
    try:
        low = loc + scale * family.low(*values)
        frozen = _frozen(family, values, loc, scale, low)
        ends = (low, *map(frozen.quantile, (LOWEST, 0.5, HIGHEST)))
        finite = all(math.isfinite(end) for end in ends[low == -math.inf :])
    except Impossible as impossible:
        raise Impossible(f"{name} {impossible}") from None
    except (ArithmeticError, ValueError):
        finite = False
    if not finite:
        given = ", ".join(f"{key}={value:g}" for key, value in parameters.items())
        raise Impossible(f"{name} with {given or 'no parameters'} does not give finite numbers")
    return frozen


def _frozen(family: Family, shapes: list[float], loc: float, scale: float, low: float) -> Frozen:
    try:
        mean = loc + scale * family.mean(*shapes)
    except OverflowError:
        mean = math.inf
    quantile = _scaled(family, shapes, loc, scale)
    quantiles: Callable[[Floats], Floats] = partial(each, quantile)
    if family.times_all is not None and loc == 0:
        quantiles = family.times_all(scale, *shapes)
    return Frozen(quantile, quantiles, mean, low, family.continuous)


def _scaled(family: Family, shapes: list[float], loc: float, scale: float) -> Scalar:
    if family.times is not None and loc == 0:
        return family.times(scale, *shapes)
    standard = family.standard(*shapes)
    if loc == 0:
        return standard if scale == 1 else lambda u: scale * standard(u)
    return lambda u: loc + scale * standard(u)
