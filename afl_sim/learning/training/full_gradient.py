"""The gradient of the global objective, over all samples of the clients."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.task_draws import Shards

_BATCH = 1000


class FullGradient:
    """The gradient of ``f = sum_i (n_i / n) f_i``; f_i is the mean loss over client i's samples.

    So every sample counts once for each client that holds it. If samples have weights, each counts
    as much as its weight. If positions have labels, every position with one counts (`TaskLoss`).
    With clients of equal size, f is the plain mean of the f_i. The model is in evaluation mode (no
    dropout, BatchNorm's running statistics), and proximal terms are not part of f.

    Args:
        trainer: its model object is used as scratch space, and its samples are evaluated.
        shards: which samples a client holds.
        clients: how many clients there are.
    """

    def __init__(self, trainer: LocalTrainer, shards: Shards, clients: int) -> None:
        self._trainer = trainer
        self._shards = shards
        self._clients = clients

    def squared_norm(self, vector: Tensor) -> float:
        """The squared L2 norm of f's gradient at a model given as a vector of shape (P + B,)."""
        self._trainer.load(vector, "evaluation.dropout")
        return self._trainer.squared_gradient_norm(self._batches)

    @cached_property
    def _batches(self) -> list[tuple[Tensor, Tensor]]:
        """The samples that somebody holds, and the share of each in f."""
        counts = np.zeros(len(self._trainer.labels), dtype=np.int64)
        for client in range(self._clients):
            np.add.at(counts, self._shards.indices(client), 1)
        held = np.flatnonzero(counts)
        trainer, device = self._trainer, self._trainer.device
        factors = counts[held]
        if trainer.weights is not None:
            factors = factors * trainer.weights.cpu().double().numpy()[held]
        total = factors.sum()
        if trainer.loss.parts is not None:
            total = factors @ trainer.loss.parts(trainer.labels).cpu().numpy()[held]
        shares = (factors / (total or 1)).astype(np.float32)
        return [
            (torch.from_numpy(rows), torch.from_numpy(weights).to(device))
            for rows, weights in zip(
                np.split(held, range(_BATCH, len(held), _BATCH)),
                np.split(shares, range(_BATCH, len(held), _BATCH)),
                strict=True,
            )
        ]
