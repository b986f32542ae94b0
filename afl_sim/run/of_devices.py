"""What the clients' data needs to know of their devices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from afl_sim.run.step_cost import step_cost_of
from afl_sim.scenario import Scenario
from afl_sim.streams import Streams
from afl_sim.world.clients.grouping import samples_by_devices, speeds


def client_speeds(scenario: Scenario) -> tuple[float, ...]:
    """The speed of every client, if the clients' data depends on it; else nothing."""
    if scenario.data.speed_correlation is None:
        return ()
    return speeds(
        scenario.clients,
        Streams(scenario.seed),
        step_cost_of(scenario),
        scenario.training.samples_per_step,
    )


def measured_sizes(scenario: Scenario) -> npt.NDArray[np.int64] | None:
    """How many samples each client's device has, if the clients' data depends on it; else None."""
    if not scenario.data.partition.by_devices:
        return None
    return samples_by_devices(scenario.clients, Streams(scenario.seed))
