"""Makes the half of a run that has the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from afl_sim.run.kinds import strategy_of
from afl_sim.run.memory import batches_that_fit, clients_without_room
from afl_sim.run.step_cost import step_cost_of
from afl_sim.scenario import Scenario
from afl_sim.world.learner import Learner
from afl_sim.world.world import World


def world_of(
    scenario: Scenario,
    samples_of: Callable[[int], int],
    sizes: tuple[int, int],
    learner: Learner,
    log: Callable[..., None],
    **hooks: Any,
) -> World:
    """The world of a scenario.

    Args:
        scenario: what is run.
        samples_of: gives the number of samples of a client.
        sizes: number of parameters and of buffers that are sent.
        learner: makes the numbers.
        log: takes the events.
        hooks: further arguments of `World`.
    """
    compression = scenario.training.compression
    return World(
        scenario,
        strategy_of(scenario),
        samples_of,
        compression.download_bytes(*sizes),
        learner,
        log,
        update_bytes=compression.upload_bytes(*sizes),
        cost=step_cost_of(scenario),
        most=batches_that_fit(scenario),
        absent=clients_without_room(scenario, samples_of),
        update_variance=compression.variance(sizes[0]),
        **hooks,
    )
