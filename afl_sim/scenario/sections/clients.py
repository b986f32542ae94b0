"""The ``clients:`` section: number, speed, network and availability of the clients."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from afl_sim.scenario.section import Count, LaterSection
from afl_sim.scenario.sections.attack import AnyAttack
from afl_sim.scenario.sections.availability import AlwaysAvailable, Availability
from afl_sim.scenario.sections.compute import Compute
from afl_sim.scenario.sections.faults import Faults
from afl_sim.scenario.sections.network import Network
from afl_sim.scenario.traces.devices import DeviceTrace


class Clients(LaterSection):
    """The fleet."""

    _later = ("attack",)

    count: Count = Field(description="Number of clients.")
    compute: Compute = Field(default=Compute(), description="How long local training takes.")
    network: Network = Field(default=Network(), description="How long transfers take.")
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
