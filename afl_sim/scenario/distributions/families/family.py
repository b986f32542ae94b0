"""What a family of distributions is here: a quantile function, a mean and the ends of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.distributions.elementary import exp

Floats = npt.NDArray[np.float64]
Scalar = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a shape may be.

    Attributes:
        holds: whether a finite number will do.
        expected: the rule in words.
    """

    holds: Callable[[float], bool]
    expected: str


ANY = Rule(lambda value: True, "a number")
NOT_0 = Rule(lambda value: value != 0, "a number other than 0")
ABOVE_0 = Rule(lambda value: value > 0, "more than 0")
AT_LEAST_0 = Rule(lambda value: value >= 0, "0 or more")
ABOVE_1 = Rule(lambda value: value > 1, "more than 1")
INSIDE = Rule(lambda value: 0 < value < 1, "a number between 0 and 1, but neither of them")
SHARE = Rule(lambda value: 0 <= value <= 1, "a number from 0 to 1")
CHANCE = Rule(lambda value: 0 < value <= 1, "more than 0 and at most 1")
_EXACT = 2.0**53  # beyond, a number is not told from the next


def up_to(most: float) -> Rule:
    """At least 0, and not so large that a draw takes long."""
    return Rule(lambda value: 0 <= value <= most, f"a number from 0 to {most:g}")


def whole(least: float, most: float = _EXACT) -> Rule:
    """A whole number."""
    return Rule(
        lambda value: least <= value <= most and value.is_integer(),
        f"a whole number, {least:g} or more"
        if most == _EXACT
        else f"a whole number from {least:g} to {most:g}",
    )


WHOLE = Rule(lambda value: abs(value) <= _EXACT and value.is_integer(), "a whole number")
AMOUNT = whole(0)
COUNT = whole(1)


@dataclass(frozen=True, slots=True)
class Family:
    """A family at loc 0, scale 1: functions of the shapes, in scipy.stats' parametrisation.

    Attributes:
        shapes: their names in order, and what each may be.
        standard: gives the quantile function on [2^-53, 1 - 2^-53].
        mean: gives the mean, which may be infinite. It may raise OverflowError instead.
        low: gives the lower end of the support.
        check: gives what is wrong with shapes that are right one by one, as (name, what was
            expected), or None.
        continuous: whether single values have no probability. Such a family takes a scale.
        times: of a scale and the shapes, gives the quantile function with that scale, where one
            function is worth having: a call less for each draw.
        times_all: of a scale and the shapes, gives the same function for arrays of shape (n,), bit
            for bit, where that is quicker than one by one.
    """

    shapes: Mapping[str, Rule]
    standard: Callable[..., Scalar]
    mean: Callable[..., float]
    low: Callable[..., float] = lambda *shapes: 0.0
    check: Callable[..., tuple[str, str] | None] = lambda *shapes: None
    continuous: bool = True
    times: Callable[..., Scalar] | None = None
    times_all: Callable[..., Callable[[Floats], Floats]] | None = None


def discrete(
    shapes: Mapping[str, Rule],
    standard: Callable[..., Scalar],
    mean: Callable[..., float],
    low: Callable[..., float] = lambda *shapes: 0.0,
    check: Callable[..., tuple[str, str] | None] = lambda *shapes: None,
) -> Family:
    """A family of whole numbers."""
    return Family(shapes, standard, mean, low, check, continuous=False)


def from_1(*shapes: float) -> float:
    """The lower end of a support that begins with 1."""
    return 1.0


@dataclass(frozen=True, slots=True)
class Frozen:
    """One family with all its parameters.

    Attributes:
        quantile: the inverse distribution function on (0, 1).
        quantiles: the same on an array, bit for bit.
        mean: may be infinite.
        low: the lower end of the support.
        continuous: whether single values have no probability.
    """

    quantile: Scalar
    quantiles: Callable[[Floats], Floats]
    mean: float
    low: float
    continuous: bool


class Impossible(ValueError):
    """Parameters with which a family is no distribution: the one to blame, if any, and why."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


def unit_mean(value: float) -> Callable[..., float]:
    """The mean of a family that has no shapes, or always the same one."""
    return lambda *shapes: value


def if_above(threshold: float, shape: float, mean: Callable[[], float]) -> float:
    """A mean that is finite only where a shape is above a threshold."""
    return mean() if shape > threshold else math.inf


def mean_by_tail(value: Scalar) -> float:
    """The mean of ``value(t)``, t being exponential with mean 1: ``value`` is a quantile function
    of ``t = -log(1 - u)``, so that the upper tail counts in full.

    The trapezoidal rule after the substitution ``t = exp(x - exp(-x))`` (Takahasi and Mori's double
    exponential formula), whose step is halved until the sum stays the same.
    """

    def term(x: float) -> float:
        t = exp(x - exp(-x))
        return value(t) * exp(-t) * t * (1 + exp(-x))

    step, start, count = 0.25, -5.5, 50  # up to x = 7: beyond, exp(-t) is 0
    total = math.fsum(term(start + i * step) for i in range(1, count))
    for _ in range(9):
        finer = total + math.fsum(term(start + (i + 0.5) * step) for i in range(count))
        step, count = step / 2, 2 * count
        done = abs(finer / 2 - total) <= 1e-13 * abs(total)
        total = finer
        if done:
            break
    return total * step
