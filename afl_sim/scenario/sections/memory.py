"""What fits into the memory of a client: the ``memory:`` block of the clients, or of a group."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from afl_sim.scenario.distributions.distribution import In
from afl_sim.scenario.distributions.uses import SteadyRate
from afl_sim.scenario.section import Section
from afl_sim.scenario.units import SIZE

TooSmall = Literal["error", "smaller_batch", "absent"]


class Memory(Section):
    """The memory of clients, which bounds what they can train.

    Training holds the parameters, their gradient, the optimizer's state, and what the forward pass
    of a batch keeps for the backward pass. See docs/devices.md.
    """

    bytes: Annotated[SteadyRate, In(SIZE)] | None = Field(
        default=None,
        description="Memory for training, drawn once for each client, above 0 (bytes; text has a "
        "unit, such as 4 GB); null: as the column memory of clients.devices says.",
    )
    too_small: TooSmall = Field(
        default="error",
        description="What happens if a step of a client does not fit. error: the scenario is "
        "refused. smaller_batch: the client trains on the largest batches that fit. absent: the "
        "client does not take part, as if it were never available.",
    )


def _law_alone(value: Any) -> Any:
    block = isinstance(value, dict) and not value.keys().isdisjoint(Memory.model_fields)
    return value if value is None or block or isinstance(value, Memory) else {"bytes": value}


def _or_a_law(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"$ref": "#/$defs/SizeDistribution"})


AnyMemory = Annotated[
    Memory | None, BeforeValidator(_law_alone), Field(json_schema_extra=_or_a_law)
]
"""The block, or its law alone."""
