"""Tries the first aggregations of a user's own strategy in portable arithmetic, on tiny models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from afl_sim.errors import AflSimError
from afl_sim.execution.local.inline import InlineExecutor
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.training.judging import Scores
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.phase import ORDINARY, Phase
from afl_sim.portable.block import ADVICE, arithmetic_of
from afl_sim.run.kinds import strategy_of
from afl_sim.run.step_cost import step_cost_of
from afl_sim.scenario import Scenario
from afl_sim.strategies.base import Population
from afl_sim.strategies.purity import NotPortableHook
from afl_sim.world.world import World

_AGGREGATIONS = 3
_EVENTS = 1 << 14
_SAMPLES = 8  # of each client


def strategy_obstacle(scenario: Scenario) -> str | None:
    """Which hook of a strategy is not portable at the start of a run, in words; None if none is.

    The schedule is the run's. Clients return small updates of a model of eight numbers, and
    nothing is trained. Other errors are ignored, because a run shows them.
    """
    strategy = strategy_of(scenario)
    model = nn.Linear(3, 2)
    layout = ParameterVector(model)
    trainer: Any = _Trainer(layout)
    evaluator: Any = _Evaluator()
    try:
        with arithmetic_of(portable=True):
            learner = _Learner(
                strategy,
                InlineExecutor(trainer, evaluator),
                torch.linspace(-1, 1, layout.size),
                layout,
                Population(scenario.clients.count, lambda client: _SAMPLES),
                lambda version: 1.0,
                lambda *row: None,
            )
            world = World(
                scenario,
                strategy,
                lambda client: _SAMPLES,
                1,
                learner,
                lambda *row: None,
                cost=step_cost_of(scenario),
            )
            world.run(at_most=_EVENTS)
    except NotPortableHook as error:
        return str(error).removeprefix(f"strategy {strategy.kind}: ").removesuffix(f"; {ADVICE}")
    except Exception:
        return None
    return None


class _Enough(AflSimError):
    """The trial has seen enough."""


class _Learner(TrainingLearner):
    """Ends the trial after some aggregations."""

    _made = 0

    def aggregate(self, *arguments: Any) -> None:
        super().aggregate(*arguments)
        self._made += 1
        if self._made == _AGGREGATIONS:
            raise _Enough("enough")


class _Trainer:
    """Stands where a `LocalTrainer` stands; updates differ by client and task."""

    learning_rate = 0.1

    def __init__(self, layout: ParameterVector) -> None:
        self.layout = layout

    def train(
        self,
        client: int,
        task: int,
        steps: int,
        start: Tensor,
        anchor: Tensor,
        lr_factor: float,
        correction: Tensor | None = None,
        phase: Phase = ORDINARY,
    ) -> LocalResult:
        """A small update."""
        step = torch.linspace(0.01, 0.02, self.layout.size) * (1 + (client + task) % 3)
        return LocalResult(start - step, -step, 1.0)

    def public_gradient(self, vector: Tensor) -> Tensor:
        """A small gradient."""
        return torch.linspace(0.01, 0.02, self.layout.num_parameters)


class _Evaluator:
    """Stands where an evaluator stands."""

    def evaluate(self, vector: Tensor) -> Scores:
        """Plain numbers."""
        return Scores(0.5, 1.0, (0.5,))
