"""The ``clients:`` section: number, speed, network and availability of the clients."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from afl_sim.scenario.section import Count, LaterSection
from afl_sim.scenario.sections.attack import AnyAttack
from afl_sim.scenario.sections.availability import AlwaysAvailable, Availability
from afl_sim.scenario.sections.battery import BatteryKey
from afl_sim.scenario.sections.compute import Compute
from afl_sim.scenario.sections.energy import (
    ENERGY_KEYS,
    CarbonKey,
    EnergyPerByteKey,
    EnergyPerSampleKey,
    PowerKey,
)
from afl_sim.scenario.sections.faults import Faults
from afl_sim.scenario.sections.groups import (
    MOST_GROUPS,
    ClientGroup,
    completed,
    refuse_measured_twice,
)
from afl_sim.scenario.sections.memory import AnyMemory
from afl_sim.scenario.sections.network import Network
from afl_sim.scenario.sections.prices import ClientPriceKey
from afl_sim.scenario.traces.devices import DeviceTrace


class Clients(LaterSection):
    """The fleet."""

    _later = ("attack", "groups", "memory", *ENERGY_KEYS)

    count: Count = Field(description="Number of clients.")
    compute: Compute = Field(default=Compute(), description="How long local training takes.")
    network: Network = Field(default=Network(), description="How long transfers take.")
    memory: AnyMemory = Field(
        default=None,
        description="Memory of the clients, which bounds what they can train: a block, or its "
        "bytes alone, such as 4 GB; null: no bound.",
    )
    devices: DeviceTrace | None = Field(
        default=None,
        description="Measured devices, whose speeds and links replace the keys in `compute` and "
        "`network`; null: none.",
    )
    availability: Availability = Field(
        default=AlwaysAvailable(), description="When clients are available."
    )
    queue: Literal["none", "fifo"] = Field(
        default="none",
        description="What happens to a task that is sent to a busy client. none: busy clients "
        "cannot be sent tasks. fifo: the client queues its tasks and computes them one at a "
        "time, first in, first out; busy clients are then drawn, too, wherever clients are "
        "drawn. A strategy that needs queues implies fifo.",
    )
    faults: Faults = Field(default=Faults(), description="Faults of tasks.")
    attack: AnyAttack | None = Field(
        default=None,
        description="Clients that send false updates or train on false labels; null: none. They "
        "take as long as honest clients, so the schedule does not change.",
    )
    power: PowerKey = None
    energy_per_sample: EnergyPerSampleKey = None
    energy_per_byte: EnergyPerByteKey = None
    price: ClientPriceKey = None
    carbon_intensity: CarbonKey = None
    battery: BatteryKey = None
    groups: Annotated[tuple[ClientGroup, ...], Field(max_length=MOST_GROUPS)] = Field(
        default=(),
        description="Groups of clients that differ from the fleet, such as phones and desktops. "
        "Every client is in one of them; empty: all clients are alike.",
    )

    @field_validator("groups")
    @classmethod
    def _complete(
        cls, groups: tuple[ClientGroup, ...], info: ValidationInfo
    ) -> tuple[ClientGroup, ...]:
        for index, group in enumerate(groups):
            refuse_measured_twice(index, group, info.data.get("devices"))
        return tuple(completed(group, info.data) for group in groups)

    def of_group(self, group: ClientGroup) -> Clients:
        """The section as it holds for the clients of one of its groups."""
        own = ("compute", "network", "memory", "devices", "availability", "faults", *ENERGY_KEYS)
        return self.model_copy(
            update={"groups": (), **{name: getattr(group, name) for name in own}}
        )

    def parts(self) -> list[Clients]:
        """The section as it holds for each group, in order; itself if there are no groups."""
        return [self.of_group(group) for group in self.groups] or [self]
