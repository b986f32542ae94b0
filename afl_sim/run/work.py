"""Counts what a run computes, by its schedule alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from afl_sim.errors import ScenarioError
from afl_sim.global_model.null import NullLearner
from afl_sim.run.building import world_of
from afl_sim.run.checks import check_mode
from afl_sim.run.kinds import strategy_of, tests_own_models
from afl_sim.run.preparation import Prepared
from afl_sim.world.tasks.task import Task


@dataclass(frozen=True)
class Work:
    """What a run computes.

    Attributes:
        updates: updates that the server aggregates.
        tasks: tasks that are trained. Those whose results nobody needs are not; but batched
            training, and workers that have nothing else to do, may train some of them as well.
        steps, samples: local steps of these tasks, and the samples in their batches.
        evaluations: evaluations of a model.
        seconds: wall time of the schedule.
        at_most: whether a stop rule that reads a metric may end the run earlier.
    """

    updates: int
    tasks: int
    steps: int
    samples: int
    evaluations: int
    seconds: float
    at_most: bool


def work_of(prepared: Prepared) -> Work | str:
    """Compute a run's schedule, and count; or say in a line why only training would tell.

    Args:
        prepared: the run. Its data need not be loaded.

    Raises:
        ScheduleError: the strategy's schedule breaks a rule.
    """
    scenario = prepared.scenario
    try:
        check_mode(scenario, timing_only=True)
    except ScenarioError as error:
        return str(error)
    feeds_back = scenario.training.compression.feeds_back
    goes_on = strategy_of(scenario).uses_own() or feeds_back or prepared.kept is not None
    counting = _Counting(goes_on, tests_own_models(scenario))
    world = world_of(
        scenario.model_copy(update={"stop": scenario.stop.untrained}),
        prepared.partition.size,
        prepared.sent,
        counting,
        lambda *row: None,
    )
    began = perf_counter()
    world.run()
    if prepared.kept is not None:
        counting.count_last()
    return Work(
        world.server.counts.aggregated,
        counting.tasks,
        counting.steps,
        counting.samples,
        counting.evaluations,
        perf_counter() - began,
        bool(scenario.stop.by_metric),
    )


@dataclass(slots=True)
class _Noted:
    """What is noted of a task.

    Attributes:
        before: the task that it goes on from, until it is counted.
        counted: whether it is; a schedule may use an update again.
    """

    before: Task | None
    counted: bool = False


class _Counting(NullLearner):
    """Counts what the learner and the executor of a training run would compute.

    A task is trained if the server uses it, or if one goes on from it that is trained.

    Args:
        goes_on: whether a client's task goes on from its last one.
        own_models: whether evaluations test what clients have made of the model.
    """

    follows = True

    def __init__(self, goes_on: bool, own_models: bool) -> None:
        self.tasks = self.steps = self.samples = self.evaluations = 0
        self._goes_on = goes_on
        self._own_models = own_models
        self._last: dict[int, Task] = {}  # that has arrived, of each client

    def start(self, dispatch: Any, after: Any) -> None:
        before = (after or self._last.get(dispatch.client)) if self._goes_on else None
        dispatch.job = _Noted(before)

    def arrive(self, dispatch: Any) -> None:
        if self._goes_on:
            self._last[dispatch.client] = dispatch

    def aggregate(self, updates: Sequence[Any], version: int, context: Mapping[str, Any]) -> None:
        for each in updates:
            self._count(each)

    def evaluate(self, time_us: int, version: int, updates: int, samples: int) -> None:
        self.evaluations += 1
        if self._own_models:
            self.count_last()

    def count_last(self) -> None:
        """Count every client's last task, since what the client keeps is asked for."""
        for task in self._last.values():
            self._count(task)

    def _count(self, task: Task | None) -> None:
        while task is not None and not task.job.counted:
            noted: _Noted = task.job
            noted.counted = True
            self.tasks += 1
            self.steps += task.steps + task.extra_steps
            self.samples += task.samples
            task, noted.before = noted.before, None
