"""Variation of a client's speed in time: slowdowns, and the time of day."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution, In
from afl_sim.scenario.distributions.uses import ClientDuration, Positive, SteadyRate
from afl_sim.scenario.section import Number, Seconds, Section
from afl_sim.scenario.units import DURATION


class Slowdowns(Section):
    """Temporary slowdowns: a client is fast for a while, then slow, then fast again.

    With exponential laws the state is a two-state Markov process. It is at equilibrium from the
    start of the run (with other laws, what is left of the first stay is a whole one).
    """

    factor: SteadyRate = Field(
        description="Factor on the compute time in slow periods, drawn once for each client, "
        "above 0 (no unit)."
    )
    fast_seconds: Annotated[Positive, In(DURATION)] = Field(
        description="Length of a fast period, above 0 (seconds)."
    )
    slow_seconds: Annotated[Positive, In(DURATION)] = Field(
        description="Length of a slow period, above 0 (seconds)."
    )

    @model_validator(mode="after")
    def _finite_means(self) -> Self:
        for name in ("fast_seconds", "slow_seconds"):
            law: Distribution = getattr(self, name)
            if not all(math.isfinite(law.mean(client)) for client in range(law.length or 1)):
                raise PydanticCustomError(
                    "scenario",
                    f"{name} has no finite mean; expected a finite mean, because the "
                    "process starts in equilibrium",
                )
        return self


class Hours(Section):
    """A speed that depends on the time of day: a periodic step function."""

    speed: Annotated[tuple[Annotated[Number, Field(ge=0)], ...], Field(min_length=1)] = Field(
        description="Relative speed in equal parts of the period, one number for each part. At 0.5 "
        "computing takes twice as long, at 0 nothing is computed; 24 numbers are the hours of "
        "a day (no unit)."
    )
    period_seconds: Seconds = Field(default=86_400.0, description="Length of the period (seconds).")
    phase_seconds: ClientDuration = Field(
        default=Distribution(0.0),
        description="Position of a client in its period at the start of the run (its time zone), "
        "drawn once for each client (seconds).",
    )

    @model_validator(mode="after")
    def _some_speed(self) -> Self:
        if not any(self.speed):
            raise PydanticCustomError(
                "scenario", "speed is 0 at every hour; expected a number above 0 among them"
            )
        return self
