"""Clients whose samples differ in more than their labels: feature skew and concept shift."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution, SignedDistribution
from afl_sim.scenario.distributions.uses import OncePerClient, SignedOncePerClient
from afl_sim.scenario.section import Section


def _unshuffled(value: Distribution) -> Distribution:
    if value.shuffles:
        raise PydanticCustomError(
            "scenario", "cannot be shuffled; expected a list in the order of the clients"
        )
    return value


PerClient = Annotated[OncePerClient, AfterValidator(_unshuffled)]
Angle = Annotated[SignedOncePerClient, AfterValidator(_unshuffled)]


class FeatureSkew(Section):
    """Every client sees its inputs in its own way: Kairouz et al., 2021, section 3.1.1.

    Rotation comes first, then the factor, then the noise. All three work on the inputs as the model
    gets them, after normalisation. The global test set stays as it is; a client's own test samples
    (data.client_test) change as those do on which it trains.
    """

    rotate: Angle = Field(
        default=SignedDistribution(0.0),
        description="Angle by which a client's images are turned, counter-clockwise, drawn once "
        "for each client (degrees); below 0, clockwise. Pixels from beyond the border are those of "
        "the border.",
    )
    scale: PerClient = Field(
        default=Distribution(1.0),
        description="Factor on a client's inputs, drawn once for each client (no unit).",
    )
    noise: PerClient = Field(
        default=Distribution(0.0),
        description="Standard deviation of the normal noise that is added once to every number of "
        "a client's inputs; drawn once for each client (no unit).",
    )

    @model_validator(mode="after")
    def _does_something(self) -> FeatureSkew:
        if (self.rotate.constant, self.scale.constant, self.noise.constant) == (0, 1, 0):
            raise PydanticCustomError(
                "scenario", "changes nothing; expected rotate, scale or noise"
            )
        return self


class ConceptShift(Section):
    """Groups of clients for which the same input has another label.

    Every client belongs to one group, drawn at random. The first group has the labels of the data;
    in every other one the labels are permuted, each group by its own random permutation.
    """

    groups: int = Field(ge=2, le=10_000, description="Number of groups (groups).")
