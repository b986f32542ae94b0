"""Makes the executors of runs: in this process, or with workers that several runs share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from afl_sim.execution.local.batched import BatchedExecutor
from afl_sim.execution.local.inline import InlineExecutor
from afl_sim.execution.tasks import Executor
from afl_sim.execution.workers.pool import WorkerPool
from afl_sim.execution.workers.worker import Supply
from afl_sim.learning.data.content import data_digest
from afl_sim.learning.data.datasets import pool_arrays, stored_pool, supply_pool
from afl_sim.learning.training.batched_training import BatchedTrainer
from afl_sim.run.preparation import Prepared
from afl_sim.run.recipe import attackers_in, build_runner, compressor_of, recipe_of, worker_runner
from afl_sim.run.workers import worker_pool
from afl_sim.scenario import DataSpec, Execution, Numerics, Scenario

Executors = Callable[[Scenario, Prepared], Executor]
"""Makes the executor of a run."""


def inline(
    scenario: Scenario, prepared: Prepared, make: type[InlineExecutor] = InlineExecutor
) -> Executor:
    """An executor in this process; ``make`` makes it, unless training is batched."""
    assert prepared.dataset is not None
    recipe = recipe_of(scenario)
    trainer, evaluator, personalization = build_runner(
        recipe, prepared.dataset, prepared.partition, prepared.testing
    )
    compressor, attackers = compressor_of(recipe), attackers_in(recipe)
    if scenario.numerics.mode == "batched":
        group = scenario.numerics.group
        return BatchedExecutor(BatchedTrainer(trainer), evaluator, group, compressor, attackers)
    return make(
        trainer, evaluator, compressor, recipe.settings.portable, attackers, personalization
    )


def pooled(pool: WorkerPool) -> Executors:
    """Executors that share the workers of a pool."""

    def executor(scenario: Scenario, prepared: Prepared) -> Executor:
        recipe = replace(recipe_of(scenario), stored=stored_pool(scenario.data))
        return pool.executor(partial(worker_runner, recipe), supply_of(scenario.data))

    return executor


def supply_of(data: DataSpec) -> Supply:
    """A data set, for workers on machines that do not have it."""
    pool = data.model_dump_json(exclude={"partition", "validation", "client_test"})
    pool += data_digest(data) or ""  # own data may have changed since the workers got it
    return Supply(pool, partial(pool_arrays, data), partial(supply_pool, data))


@contextmanager
def executors_of(
    execution: Execution,
    numerics: Sequence[Numerics],
    stop_wanted: Callable[[], bool] | None,
) -> Iterator[Executors]:
    """The executors that the section ``execution`` asks for, while the block lasts.

    Batched training stays in this process, whatever the section asks for.

    Args:
        execution: the section.
        numerics: of the runs.
        stop_wanted: as for `worker_pool`.

    Raises:
        InputError, KeyboardInterrupt: as `worker_pool`.
    """
    if execution.executor == "inline" or any(each.mode == "batched" for each in numerics):
        yield inline
        return
    with worker_pool(execution, numerics, stop_wanted=stop_wanted) as pool:
        yield pooled(pool)
