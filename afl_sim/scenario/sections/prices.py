"""What clients are paid, and what the server costs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from afl_sim.scenario.section import Number, Section

Price = Annotated[Number, Field(ge=0, le=1e12)]
"""Money, in the unit of the scenario's author."""


class ClientPrice(Section):
    """What the clients are paid."""

    per_task: Price = Field(
        default=0.0, description="For each task that is sent to a client (money per task)."
    )
    per_gb: Price = Field(
        default=0.0,
        description="For each gigabyte (10^9 bytes) that a client downloads or uploads (money per "
        "gigabyte).",
    )


class ServerPrice(Section):
    """What the server costs."""

    per_hour: Price = Field(
        default=0.0, description="For each hour of virtual time (money per hour)."
    )
    per_gb_in: Price = Field(
        default=0.0,
        description="For each gigabyte (10^9 bytes) of updates that reach the server (money per "
        "gigabyte).",
    )
    per_gb_out: Price = Field(
        default=0.0,
        description="For each gigabyte (10^9 bytes) of models that clients download (money per "
        "gigabyte).",
    )


ClientPriceKey = Annotated[
    ClientPrice | None, Field(description="What the clients are paid; null: nothing.")
]
