"""Training on a toy problem, in place of networks: each client has an optimum of its own.

Client i minimises ``f_i(w) = 1/2 |w - t_i|^2`` over vectors of three numbers, by exact gradient
descent.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.training.judging import Scores
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.phase import ORDINARY, Phase
from afl_sim.streams import Streams

SIZE = 3
LR = 0.3
STEPS = 4
INITIAL = torch.tensor([1.0, -2.0, 0.5])


def layout() -> ParameterVector:
    """Three parameters, and a buffer."""
    model = nn.Module()
    model.weight = nn.Parameter(INITIAL.clone())
    model.register_buffer("gradient", torch.zeros(1))
    return ParameterVector(model)


class Quadratics:
    """Stands where a `LocalTrainer` stands.

    The vector's last entry travels as a buffer does; 1 says that tasks return gradients.

    Args:
        targets: shape (clients, 3): t_i.
    """

    layout = layout()
    learning_rate = LR

    def __init__(self, targets: Tensor) -> None:
        self._targets = targets

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
        """Gradient descent, or -g at the start."""
        begin, target = start[:SIZE], self._targets[client]
        shift = 0.0 if correction is None else correction
        if not steps:
            return LocalResult(start, torch.zeros(SIZE), float("nan"))
        loss = float(((begin - target) ** 2).sum() / 2)
        if start[SIZE]:
            return LocalResult(start, target - begin - shift, loss)
        end = begin
        fresh = phase.fresh
        for step in range(1, steps + 1):
            end = end - LR * lr_factor * (end - target + shift)
            if fresh is not None and step == fresh.after:
                end = (1 - fresh.weight) * end + fresh.weight * fresh.model[:SIZE]
        return LocalResult(torch.cat([end, start[SIZE:]]), end - begin, loss)

    def public_gradient(self, vector: Tensor) -> Tensor:
        """Of the mean of all clients' losses."""
        return vector[:SIZE] - self._targets.mean(0)


class Unjudged:
    """Stands where an evaluator stands."""

    def evaluate(self, vector: Tensor) -> Scores:
        """Nothing worth knowing."""
        return Scores(0.0, 0.0, ())


def targets(clients: int, kind: str) -> Tensor:
    """Everybody's optimum: ``same`` for all, ``spread`` about that, or where the run ``starts``."""
    if kind == "starts":
        return INITIAL.repeat(clients, 1)
    common = torch.tensor([3.0, 1.0, -1.0])
    if kind == "same":
        return common.repeat(clients, 1)
    draws = Streams(7).generator("toy").normal(size=(clients, SIZE))
    return common + torch.from_numpy(draws).to(torch.float32)
