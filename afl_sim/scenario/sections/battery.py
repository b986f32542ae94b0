"""The battery of a client's device: the ``battery:`` block of the clients, or of a group."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution, In
from afl_sim.scenario.distributions.uses import ClientDuration, OncePerClient, SteadyRate, largest
from afl_sim.scenario.section import Number, Section
from afl_sim.scenario.units import ENERGY
from afl_sim.scenario.wording import meant_share

Joules = Annotated[SteadyRate, In(ENERGY)]
"""Energy above 0, drawn once for each client (joules)."""


def _held(value: Distribution) -> Distribution:
    """Refuse a battery that would hold more than it can."""
    most = largest(value)
    if most > 1:
        found = "got" if value.constant is not None else "can be"
        why = f"{found} {most:.6g}; expected a share of the capacity, from 0 to 1"
        raise PydanticCustomError("scenario", f"{why}{meant_share(value.constant)}")
    return value


class Battery(Section):
    """The battery of a client's device. One that is low is charged before its client is back.

    It is looked at when the client has ended its last task. A task that was begun is finished.
    """

    capacity: Joules = Field(
        description="What a full battery holds, drawn once for each client, above 0 (joules; 15 Wh "
        "is text)."
    )
    charging: ClientDuration = Field(
        description="How long the battery is charged until it is full, drawn once for each client "
        "(seconds). The client is away meanwhile."
    )
    low: Annotated[Number, Field(ge=0, lt=1)] = Field(
        default=0.2, description="The share at which the battery is low (no unit)."
    )
    level: Annotated[OncePerClient, AfterValidator(_held)] = Field(
        default=Distribution(1.0),
        description="The share that the battery holds at the start, from 0 to 1, drawn once for "
        "each client (no unit).",
    )


BatteryKey = Annotated[
    Battery | None,
    Field(
        description="The battery of each client's device, which is used up by what `power` or "
        "`energy_per_sample` and `energy_per_byte` say; null: the mains."
    ),
]
