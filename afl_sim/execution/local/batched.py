"""The executor of batched numerics: it trains tasks in groups.

The last bits of a result depend on the tasks that were trained with it. So the rule for groups
depends on the schedule alone. When a result is first needed, its group consists of tasks that are
submitted, not cancelled and not yet trained, and that have the same learning rate. Those that are
due first are taken, up to the group's size. A client that goes on from its own model waits for its
task before.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter
from typing import Any

from torch import Tensor

from afl_sim.execution.runner import as_told, at_server, begin, conclude, less_second, told_as
from afl_sim.execution.tasks import SERVER, Known, OwnParts, TrainingTask
from afl_sim.learning.training.attackers import Attackers
from afl_sim.learning.training.batched_training import BatchedTrainer, LocalTask
from afl_sim.learning.training.compressors import Compressor
from afl_sim.learning.training.evaluation import Evaluator
from afl_sim.learning.training.judging import Scores
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.personal_evaluation import PersonalEvaluator
from afl_sim.strategies.base import Strategy
from afl_sim.strategies.purity import PurityCheck


class GroupedResult:
    """A future that is trained when its result, or another one of its group, is first needed.

    Attributes:
        order: when it is due, then its client and task.
        task: what to train; None once it is done.
        value: the result; None until it is known.
    """

    __slots__ = ("_executor", "order", "task", "value")

    def __init__(self, executor: BatchedExecutor, task: TrainingTask, due_us: int) -> None:
        self._executor = executor
        self.order = (due_us, task.client, task.task)
        self.task: TrainingTask | None = task
        self.value: LocalResult | None = None

    def result(self) -> LocalResult:
        """Train, unless that is done, and return the result."""
        if self.value is None:
            self._executor.finish(self)
        assert self.value is not None
        return self.value

    @property
    def before(self) -> GroupedResult | None:
        """The client's own last task, if this one goes on from it and it is not yet trained."""
        after = None if self.task is None else self.task.after
        return after if isinstance(after, GroupedResult) and after.value is None else None


class BatchedExecutor:
    """Runs tasks in this process, in groups.

    Args:
        trainer: trains the groups.
        evaluator: does the evaluations.
        group: the largest number of tasks in a group.
        compressor: compresses models and updates; None if nothing is compressed.
        attackers: the clients that send false updates; None if none do.
    """

    def __init__(
        self,
        trainer: BatchedTrainer,
        evaluator: Evaluator | PersonalEvaluator,
        group: int,
        compressor: Compressor | None = None,
        attackers: Attackers | None = None,
    ) -> None:
        self._compressor = compressor
        self._attackers = attackers
        self._purity = PurityCheck(Strategy)
        self._trainer = trainer
        self._evaluator = evaluator
        self._group = group
        self._waiting: dict[GroupedResult, None] = {}
        self.training_seconds = 0.0
        self.evaluation_seconds = 0.0
        self.waiting_seconds = 0.0

    def submit(self, task: TrainingTask, due_us: int) -> GroupedResult:
        """Take on a task; from now on it may be trained in a group."""
        future = GroupedResult(self, task, due_us)
        if task.client == SERVER:
            began = perf_counter()
            future.value, future.task = at_server(task, self._trainer.alone), None
            self.training_seconds += perf_counter() - began
        else:
            self._waiting[future] = None
        return future

    def evaluate(self, vector: Tensor, due_us: int, own: OwnParts | None = None) -> Known[Scores]:
        """Evaluate a model at once, so that it need not be kept."""
        began = perf_counter()
        with told_as("an evaluation"):
            if isinstance(self._evaluator, PersonalEvaluator):
                version = 0 if own is None else own.version
                evaluation = self._evaluator.evaluate(vector, {}, version)
            else:
                evaluation = self._evaluator.evaluate(vector)
        self.evaluation_seconds += perf_counter() - began
        return Known(evaluation)

    def cancel(self, future: Any) -> None:
        """Leave the task out of other tasks' groups; it is trained only if its result is needed."""
        if isinstance(future, GroupedResult):
            self._waiting.pop(future, None)

    def close(self) -> None:
        """Let go of the model and the samples; what refers to this may live on for a while."""
        del self._trainer, self._evaluator

    def kept(self, future: Any) -> LocalResult | None:
        """The result, if it is known: trained again in another group, it would have other bits."""
        return future.value if isinstance(future, GroupedResult | Known) else None

    def finish(self, wanted: GroupedResult) -> None:
        """Train a task with its group, after the tasks that its client goes on from."""
        chain = [wanted]
        while (before := chain[-1].before) is not None:
            chain.append(before)
        for future in reversed(chain):
            if future.value is None:  # else it was in the group of one before
                self._train(self._group_of(future))

    def _group_of(self, wanted: GroupedResult) -> list[GroupedResult]:
        assert wanted.task is not None
        if wanted.task.steps == 0:
            return [wanted]
        others = heapq.nsmallest(
            self._group - 1, self._fitting(wanted), key=lambda future: future.order
        )
        return sorted([wanted, *others], key=lambda future: future.order)

    def _fitting(self, wanted: GroupedResult) -> Iterator[GroupedResult]:
        assert wanted.task is not None
        for future in self._waiting:
            task = future.task
            assert task is not None
            if (
                future is not wanted
                and task.steps
                and task.lr_factor == wanted.task.lr_factor
                and future.before is None
            ):
                yield future

    def _train(self, group: list[GroupedResult]) -> None:
        began = perf_counter()
        trainer = self._trainer
        tasks = [future.task for future in group if future.task is not None]
        begun = [
            begin(
                task,
                None if task.after is None else task.after.result().vector,
                trainer.layout,
                self._compressor,
                self._purity,
            )
            for task in tasks
        ]
        local = [
            LocalTask(
                task.client,
                task.task,
                task.steps,
                at.start,
                at.anchor,
                at.correction,
                at.proximal_factor,
            )
            for task, at in zip(tasks, begun, strict=True)
        ]
        who = ", ".join(f"{task.client}'s task {task.task}" for task in tasks)
        with told_as(f"the group of client {who}"):
            results = trainer.train(local, tasks[0].lr_factor)
            others = [
                (row, replace(one, start=at.second[0], correction=None))
                for row, (one, at) in enumerate(zip(local, begun, strict=True))
                if at.second is not None and one.steps
            ]
            again = [one for _, one in others]
            seconds = trainer.train(again, tasks[0].lr_factor) if again else []
        for (row, _), second in zip(others, seconds, strict=True):
            results[row] = less_second(results[row], begun[row], second)
        for future, task, at, result in zip(group, tasks, begun, results, strict=True):
            result = as_told(task, at, result, self._attackers, trainer.layout)
            future.value = conclude(task, at, result, trainer, self._compressor, self._purity)
            future.task = None  # lets go of the base version
            self._waiting.pop(future, None)
        self.training_seconds += perf_counter() - began
