"""A federation that fits on paper: f(x) = h w x, two clients, full batches, squared error."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from small_training import Held, sgd, trainer
from torch import Tensor, nn

from afl_sim.execution.local.inline import InlineExecutor
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.learning.models.personal import PersonalParts
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.strategies import FedAvg, Population
from afl_sim.world.tasks.task import Task

LR = 0.1
BODY, HEAD = 0.5, -0.25
X = [np.array([1.0, 2.0]), np.array([-1.0, 0.5, 1.5])]
Y = [np.array([2.0, 3.0]), np.array([1.0, 0.0, -2.0])]
SAMPLES = [2, 3]


def model() -> nn.Module:
    """The body w is ``1.weight``, the head h is ``2.weight``."""
    made = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        made[1].weight.fill_(BODY)
        made[2].weight.fill_(HEAD)
    return made


def local(**settings: Any) -> LocalTrainer:
    inputs = torch.tensor(np.concatenate(X), dtype=torch.float32).view(-1, 1, 1, 1)
    labels = torch.tensor(np.concatenate(Y), dtype=torch.float32).view(-1, 1)
    options = {"optimizer": sgd(LR), "loss": "mse", "batch_size": None, **settings}
    return trainer(model(), (inputs, labels), Held([0, 1], [2, 3, 4]), **options)


def gradients(client: int, w: float, h: float) -> tuple[float, float]:
    """Of the client's mean squared error, with respect to w and h."""
    x, y = X[client], Y[client]
    error = 2 * (h * w * x - y)
    return float(np.mean(error * h * x)), float(np.mean(error * w * x))


def parts_of(trained: LocalTrainer) -> PersonalParts:
    """The head is personal."""
    return PersonalParts(trained.layout, {"2.weight"})


def rounds(
    trained: LocalTrainer,
    initial: Tensor,
    personalization: Any,
    kept_size: int,
    count: int,
    steps: int,
    extra: int = 0,
) -> tuple[Tensor, dict[int, Tensor]]:
    """So many rounds of FedAvg with both clients: the global model, and what clients keep."""
    layout = trained.layout if personalization.parts is None else personalization.parts.shared
    evaluator: Any = None
    learner = TrainingLearner(
        FedAvg(),
        InlineExecutor(trained, evaluator, personalization=personalization),
        initial,
        layout,
        Population(2, SAMPLES.__getitem__),
        lambda base_version: 1.0,
        lambda *row: None,
        kept_size=kept_size,
    )
    for version in range(count):
        sent = [Task(client, version, version, steps, SAMPLES[client], 0) for client in (0, 1)]
        for each in sent:
            each.extra_steps = extra
            learner.start(each, None)
        for each in sent:
            learner.arrive(each)
        learner.aggregate(sent, version + 1, {})
    return learner.vector, learner.kept()
