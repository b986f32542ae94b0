"""Doing a task: the same few lines wherever tasks run."""

from __future__ import annotations

import torch
from torch import Tensor

from afl_sim.execution.tasks import TrainingTask
from afl_sim.learning.evaluation import Evaluation, Evaluator
from afl_sim.learning.training import LocalResult, LocalTrainer
from afl_sim.strategies.base import Client


class TaskRunner:
    """Trains and evaluates, one task at a time, with one model object.

    Args:
        trainer: does the local steps.
        evaluator: does the evaluations.
    """

    def __init__(self, trainer: LocalTrainer, evaluator: Evaluator) -> None:
        self._trainer = trainer
        self._evaluator = evaluator

    def train(self, task: TrainingTask, own: Tensor | None) -> LocalResult:
        """Do a training task.

        Args:
            task: the task; its ``after`` is not looked at.
            own: shape (P + B,): the model with which the client ended its last task, if it goes
                on from that.
        """
        count = self._trainer.layout.num_parameters
        start = task.base
        if task.origin is not None:
            strategy, state = task.origin
            client = Client(task.client, None if own is None else own[:count])
            moved = strategy.starting_point(start[:count], state, client)
            start = torch.cat([moved, start[count:]])
        return self._trainer.train(
            task.client, task.task, task.steps, start, task.base[:count], task.lr_factor
        )

    def evaluate(self, vector: Tensor) -> Evaluation:
        """Evaluate a model given as a vector of shape (P + B,)."""
        return self._evaluator.evaluate(vector)
