"""Groups of clients with laws of their own: ``clients.groups``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from afl_sim.scenario.section import Count, Flag, LaterSection, Number, Section, refuse_many
from afl_sim.scenario.sections.availability import Availability
from afl_sim.scenario.sections.battery import BatteryKey
from afl_sim.scenario.sections.compute import SPEED_KEYS, Compute
from afl_sim.scenario.sections.energy import (
    ENERGY_KEYS,
    CarbonKey,
    EnergyPerByteKey,
    EnergyPerSampleKey,
    PowerKey,
    inherited_energy,
)
from afl_sim.scenario.sections.faults import Faults
from afl_sim.scenario.sections.memory import AnyMemory
from afl_sim.scenario.sections.network import BANDWIDTHS, Network
from afl_sim.scenario.sections.partitions import PartitionSpec
from afl_sim.scenario.sections.prices import ClientPriceKey
from afl_sim.scenario.traces.device_columns import ROOFLINE
from afl_sim.scenario.traces.devices import DeviceTrace
from afl_sim.scenario.traces.trace_block import TraceBlock

MOST_GROUPS = 100


class GroupCompute(Compute):
    """The ``compute:`` block of a group; the speed may be left to the fleet."""

    default_speed: ClassVar[dict[str, float]] = {}


class GroupData(Section):
    """The samples of a group."""

    share: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Share of the samples that the group's clients hold together; null: in "
        "proportion to the number of its clients (no unit).",
    )
    partition: PartitionSpec | None = Field(
        default=None,
        description="How these samples are distributed over the group's clients; null: as in "
        "`data.partition`.",
    )


class ClientGroup(LaterSection):
    """Some of the clients. What a group does not say is as for the whole fleet."""

    _later = ("memory", *ENERGY_KEYS)

    name: str = Field(
        pattern=r"^[^\s.,]([^.,\n]*[^\s.,])?$",
        max_length=40,
        description="Names the group in figures and tables: any text without dot or comma.",
    )
    share: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Share of the clients (no unit). The shares of all groups add up to 1. Give "
        "either shares or `count` for all groups.",
    )
    count: Count | None = Field(default=None, description="Number of clients in the group.")
    exactly: Flag = Field(
        default=True,
        description="true: the group has exactly its share of the clients, rounded to whole "
        "clients by largest remainder; only which they are is drawn. false: each client is drawn "
        "into a group by itself, so that the sizes are random.",
    )
    compute: GroupCompute | None = Field(
        default=None, description="As `clients.compute`; keys that are left out are the fleet's."
    )
    network: Network | None = Field(
        default=None, description="As `clients.network`; keys that are left out are the fleet's."
    )
    memory: AnyMemory = Field(
        default=None, description="As `clients.memory`; keys that are left out are the fleet's."
    )
    devices: DeviceTrace | None = Field(
        default=None, description="As `clients.devices`; left out: the fleet's; null: none."
    )
    availability: Availability | None = Field(
        default=None,
        description="As `clients.availability`; keys that are left out are the fleet's, unless "
        "the kind is another one.",
    )
    faults: Faults | None = Field(
        default=None, description="As `clients.faults`; keys that are left out are the fleet's."
    )
    data: GroupData | None = Field(
        default=None, description="The samples of the group; null: like those of all clients."
    )
    power: PowerKey = None
    energy_per_sample: EnergyPerSampleKey = None
    energy_per_byte: EnergyPerByteKey = None
    price: ClientPriceKey = None
    carbon_intensity: CarbonKey = None
    battery: BatteryKey = None

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        refuse_many(self, ("share", "count"))
        if self.share is None and self.count is None:
            raise PydanticCustomError(
                "scenario", "does not say how large the group is; expected share or count"
            )
        if self.count is not None and not self.exactly:
            raise PydanticCustomError(
                "scenario", "a count is exact; expected exactly: true, or a share"
            )
        return self


def completed(group: ClientGroup, fleet: Mapping[str, Any]) -> ClientGroup:
    """The group with everything that it leaves to the fleet.

    Args:
        group: as the file says.
        fleet: the blocks of ``clients``, as far as they are valid.
    """
    update: dict[str, Any] = {}
    for name in ("network", "availability", "faults"):
        if name in fleet:
            own = getattr(group, name)
            update[name] = fleet[name] if own is None else _inheriting(own, fleet[name])
    memory = fleet.get("memory")
    if memory is not None:
        own = group.memory
        update["memory"] = memory if own is None else _inheriting(own, memory)
    if "compute" in fleet:
        update["compute"] = _compute(group.compute, fleet["compute"])
    if "devices" in fleet and "devices" not in group.model_fields_set:
        update["devices"] = fleet["devices"]
    update |= inherited_energy(group, fleet)
    return group.model_copy(update=update).overriding(group, fleet)


def _compute(own: Compute | None, fleet: Compute) -> GroupCompute:
    whole = GroupCompute.model_construct(**dict(fleet))
    if own is None:
        return whole
    if gives_speed(own):
        none = SPEED_KEYS if own.flops_per_second is not None else (*SPEED_KEYS, *ROOFLINE)
        whole = whole.model_copy(update=dict.fromkeys(none))
    given = {name: getattr(own, name) for name in own.model_fields_set}
    return whole.model_copy(update=given).overriding(own, dict(fleet))


def _inheriting(own: BaseModel, fleet: BaseModel) -> BaseModel:
    """A block whose keys that are not given come from the fleet's, as far as both have them."""
    update = {}
    for name in type(own).model_fields:
        if name == "kind" or name not in type(fleet).model_fields:
            continue
        value, common = getattr(own, name), getattr(fleet, name)
        if name not in own.model_fields_set:
            update[name] = common
        elif isinstance(value, TraceBlock):
            continue  # a file is read with its own keys
        elif isinstance(value, BaseModel) and isinstance(common, BaseModel):
            update[name] = _inheriting(value, common)
    if any(getattr(own, name, None) is not None for name in BANDWIDTHS):
        # The fleet's other way to give the bandwidth does not hold here.
        update |= {name: getattr(own, name) for name in BANDWIDTHS}
    made = own.model_copy(update=update)
    return made.overriding(own, dict(fleet)) if isinstance(made, LaterSection) else made


def gives_speed(compute: Compute) -> bool:
    """Whether a block says how fast clients compute."""
    return any(getattr(compute, name) is not None for name in SPEED_KEYS)


def refuse_measured_twice(index: int, group: ClientGroup, devices: DeviceTrace | None) -> None:
    """Raise if a group has a speed or a link of its own that the fleet's devices would replace."""
    if devices is None or "devices" in group.model_fields_set:
        return
    own: list[tuple[str, ...]] = []
    if group.compute is not None and gives_speed(group.compute):
        own.append(("compute",))
    if group.network is not None:
        own.append(("network",))
    if own:
        why = (
            "the devices of clients.devices give this for all clients; expected devices: null in "
            "this group, or no such block"
        )
        raise ValidationError.from_exception_data(
            "ClientGroup",
            [
                InitErrorDetails(
                    type=PydanticCustomError("scenario", why), loc=(index, *path), input=None
                )
                for path in own
            ],
        )
