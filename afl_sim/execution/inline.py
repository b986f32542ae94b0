"""The inline executor: this process trains, and only what is asked for."""

from __future__ import annotations

from time import perf_counter

import torch
from torch import Tensor

from afl_sim.execution.tasks import TrainingTask
from afl_sim.learning.evaluation import Evaluation, Evaluator
from afl_sim.learning.training import LocalResult, LocalTrainer
from afl_sim.strategies.base import Client


class LazyResult:
    """A future whose task runs when its result is first asked for."""

    def __init__(self, executor: InlineExecutor, task: TrainingTask) -> None:
        self._executor = executor
        self._task: TrainingTask | None = task
        self._result: LocalResult | None = None

    def result(self) -> LocalResult:
        """Train, unless that is done, and return the result."""
        # A client that goes on from its own model needs the tasks before: oldest first, in a loop,
        # because a chain of updates that nobody asked for can be long.
        chain = [self]
        while (task := chain[-1]._task) is not None and isinstance(task.after, LazyResult):
            if task.after._task is None:
                break
            chain.append(task.after)
        for future in reversed(chain):
            future._run()
        assert self._result is not None
        return self._result

    def _run(self) -> None:
        if self._task is not None:
            self._result = self._executor.run(self._task)
            self._task = None  # lets go of the base version


class InlineExecutor:
    """Runs tasks in this process, one after another."""

    def __init__(self, trainer: LocalTrainer, evaluator: Evaluator) -> None:
        self._trainer = trainer
        self._evaluator = evaluator
        self.training_seconds = 0.0
        self.evaluation_seconds = 0.0

    def submit(self, task: TrainingTask) -> LazyResult:
        """Take on a task. One that is never asked for is never trained."""
        return LazyResult(self, task)

    def evaluate(self, vector: Tensor) -> Evaluation:
        """Evaluate a model now."""
        began = perf_counter()
        evaluation = self._evaluator.evaluate(vector)
        self.evaluation_seconds += perf_counter() - began
        return evaluation

    def run(self, task: TrainingTask) -> LocalResult:
        """Do a task whose predecessor is done."""
        began = perf_counter()
        start = task.base
        if task.origin is not None:
            count = self._trainer.layout.num_parameters
            own = None if task.after is None else task.after.result().vector[:count]
            strategy, state = task.origin
            moved = strategy.starting_point(start[:count], state, Client(task.client, own))
            start = torch.cat([moved, start[count:]])
        result = self._trainer.train(
            task.client,
            task.task,
            task.steps,
            start,
            task.base[: self._trainer.layout.num_parameters],
            task.lr_factor,
        )
        self.training_seconds += perf_counter() - began
        return result
