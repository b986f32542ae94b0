"""Weights of updates that fall with their staleness.

Xie, Koyejo, Gupta, "Asynchronous Federated Optimization" (2019), section 5.2: constant, polynomial
and hinge. ``tau`` is the staleness as in `afl_sim.Update`, in versions.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, PositiveFloat

from afl_sim.scenario.own_rules import OpenTo, Rule, RuleKind
from afl_sim.scenario.section import Checked


class StalenessWeight(Rule):
    """The base class of a user's own staleness weight.

    A strategy calls it once for each update of an aggregation.

    Example:
        >>> from afl_sim import StalenessWeight
        >>> class Halved(StalenessWeight):
        ...     every: int = 2
        ...
        ...     def __call__(self, staleness):
        ...         return 0.5 ** (staleness // self.every)
        >>> Halved(every=1)(3)
        0.125
    """

    def __call__(self, staleness: int) -> float:
        """The weight of an update.

        Args:
            staleness: tau, in versions, from 0 (`afl_sim.Update.staleness`).

        Returns:
            s(tau): a finite number, 0 or more; without unit. 1 is the weight of a fresh update in
            the built-in rules.
        """
        raise NotImplementedError


STALENESS_WEIGHTS = RuleKind(
    "staleness weight",
    "afl_sim.staleness_weights",
    StalenessWeight,
    "__call__",
    ("staleness",),
)


class _Weight(Checked):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Constant(_Weight):
    """s(tau) = 1."""

    kind: Literal["constant"] = "constant"

    def __call__(self, tau: int) -> float:
        return 1.0


class Polynomial(_Weight):
    """s(tau) = (tau + 1)^-a."""

    kind: Literal["polynomial"] = "polynomial"
    exponent: NonNegativeFloat = Field(0.5, description="a: how fast the weight falls")

    def __call__(self, tau: int) -> float:
        return float((tau + 1) ** -self.exponent)


class Hinge(_Weight):
    """s(tau) = 1 if tau <= b, else 1 / (a (tau - b) + 1)."""

    kind: Literal["hinge"] = "hinge"
    a: PositiveFloat = Field(10.0, description="how fast the weight falls beyond b")
    b: NonNegativeFloat = Field(4.0, description="staleness up to which the weight is 1")

    def __call__(self, tau: int) -> float:
        return 1.0 if tau <= self.b else 1.0 / (self.a * (tau - self.b) + 1.0)


AnyStalenessWeight = Annotated[
    Annotated[Constant | Polynomial | Hinge, Field(discriminator="kind")],
    OpenTo(STALENESS_WEIGHTS, ("constant", "polynomial", "hinge")),
]
"""A built-in weight, or one of the user's own."""
