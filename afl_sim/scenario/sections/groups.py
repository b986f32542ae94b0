"""Groups of clients with laws of their own: ``clients.groups``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from afl_sim.scenario.apportioning import apportion
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
from afl_sim.scenario.sections.partition_base import Problem
from afl_sim.scenario.sections.partitions import PartitionSpec
from afl_sim.scenario.sections.prices import ClientPriceKey
from afl_sim.scenario.traces.device_columns import ROOFLINE
from afl_sim.scenario.traces.devices import DeviceTrace
from afl_sim.scenario.traces.trace_block import TraceBlock
from afl_sim.streams import Streams

Members = npt.NDArray[np.uint8]
"""The index of each client's group, shape (clients,)."""

MOST_GROUPS = 100
PURPOSE = "clients.groups"
_ROUNDED = 1e-3  # shares such as 1/3 are written with few digits


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


def size_problems(groups: Sequence[ClientGroup], count: int | None) -> Iterator[Problem]:
    """What is wrong with the sizes of groups, as (key path inside ``groups``, message).

    Args:
        groups: as the file says.
        count: number of clients, where it is known.
    """
    names = [group.name for group in groups]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield (str(index), "name"), f"{name!r} names another group; expected different names"
            return
    counts = [group.count for group in groups if group.count is not None]
    if counts and len(counts) < len(groups):
        yield (), "some groups give count and some share; expected the same key in all of them"
    elif counts and count is not None and sum(counts) != count:
        yield (
            (),
            f"the counts of the groups add up to {sum(counts)}, but clients.count is {count}; "
            "expected the same number",
        )
    elif not counts:
        total = math.fsum(group.share or 0.0 for group in groups)
        if abs(total - 1) > _ROUNDED * len(groups):
            yield (), f"the shares of the groups add up to {total:.6g}; expected 1"
        elif count is not None:
            for index, size in enumerate(sizes(groups, count)):
                if size == 0:
                    yield (
                        (str(index), "share"),
                        f"a share of {groups[index].share:g} of {count} clients is none of them; "
                        "expected a larger share, or more clients",
                    )


def sizes(groups: Sequence[ClientGroup], count: int) -> list[int | None]:
    """The number of clients in each group; None where it is drawn."""
    if groups[0].count is not None:
        return [group.count for group in groups]
    exact = [float(group.share or 0.0) if group.exactly else 0.0 for group in groups]
    drawn = math.fsum(group.share or 0.0 for group in groups if not group.exactly)
    whole = apportion(np.array([*exact, drawn]), count)
    return [int(n) if group.exactly else None for n, group in zip(whole, groups, strict=False)]


def members(groups: Sequence[ClientGroup], count: int, streams: Streams) -> Members:
    """The index of each client's group, uint8 (count,).

    Exact groups take the first clients of a random order. Each of the others is drawn into one of
    the remaining groups, in proportion to their shares.

    Args:
        groups: at least one, of valid sizes.
        count: number of clients.
        streams: the run's; the draws are of ``"clients.groups"``.
    """
    found = np.empty(count, dtype=np.uint8)
    order = streams.generator(PURPOSE).permutation(count)
    begin = 0
    for index, size in enumerate(sizes(groups, count)):
        if size is not None:
            found[order[begin : begin + size]] = index
            begin += size
    rest = order[begin:]
    if len(rest):
        drawn = [index for index, group in enumerate(groups) if not group.exactly]
        ends = np.cumsum([groups[index].share or 0.0 for index in drawn])
        uniform = streams.uniforms(PURPOSE, rest) * ends[-1]
        place = np.minimum(np.searchsorted(ends, uniform, "right"), len(drawn) - 1)
        found[rest] = np.array(drawn, dtype=np.uint8)[place]
    found.flags.writeable = False
    return found


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


def data_problems(groups: Sequence[ClientGroup], default: PartitionSpec) -> Iterator[Problem]:
    """What is wrong with the data of groups, as (key path inside ``groups``, message).

    Args:
        groups: as the file says.
        default: the partition of groups without one.
    """
    if all(group.data is None for group in groups):
        return
    shares = [group.data.share for group in groups if group.data and group.data.share is not None]
    total = math.fsum(shares)
    if len(shares) == len(groups) and abs(total - 1) > _ROUNDED * len(groups):
        yield (), f"the groups' shares of the data add up to {total:.6g}; expected 1"
    elif len(shares) < len(groups) and total >= 1:
        yield (
            (),
            f"the groups' shares of the data add up to {total:.6g}, so that nothing is left for "
            "the groups without a share; expected less than 1",
        )
    for index, group in enumerate(groups):
        own = None if group.data is None else group.data.partition
        kind = own or default
        if kind.kind in ("natural", "shared") or getattr(kind, "replacement", False):
            what = kind.kind if kind.kind in ("natural", "shared") else "replacement: true"
            path = () if own is None else (str(index), "data", "partition")
            yield (
                path,
                f"{what} does not divide the samples, so that no group can have a part of them "
                "for itself; expected iid, dirichlet, shards, classes, quantity or sizes without "
                "replacement",
            )
            return
