"""Makes the two halves of a run: the world, which has the clock, and the learner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from afl_sim.execution.local.batched import BatchedExecutor
from afl_sim.execution.tasks import Executor
from afl_sim.global_model.guard import Guard
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.learning.training.judging import Scores
from afl_sim.run.kinds import strategy_of, tests_own_models
from afl_sim.run.memory import batches_that_fit, clients_without_room
from afl_sim.run.preparation import Prepared
from afl_sim.run.step_cost import step_cost_of
from afl_sim.scenario import Scenario
from afl_sim.strategies.base import Population
from afl_sim.world.learner import Learner
from afl_sim.world.world import World

L = TypeVar("L", bound=TrainingLearner)


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
        **hooks,
    )


def learner_of(
    prepared: Prepared,
    executor: Executor,
    on_evaluation: Callable[[int, int, int, int, Scores], None],
    make: type[L],
    on_model: Callable[[int, Tensor], None] | None = None,
) -> L:
    """The learner of a run that trains; ``make`` is its class."""
    scenario = prepared.scenario
    refused = scenario.server.guard
    return make(
        strategy_of(scenario),
        executor,
        prepared.initial,
        prepared.layout,
        Population(scenario.clients.count, prepared.partition.size),
        scenario.training.lr_schedule.factor,
        on_evaluation,
        executor.kept if isinstance(executor, BatchedExecutor) else None,
        None if refused is None else Guard(refused.max_norm),
        scenario.training.compression.feeds_back,
        scenario.server.buffers,
        0 if prepared.kept is None else prepared.kept.layout.size,
        tests_own_models(scenario),
        on_model,
    )
