"""What clients keep of a model for themselves, and how they train it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from afl_sim.learning.models.personal import PersonalParts
from afl_sim.learning.training.local_training import LocalResult, LocalTrainer
from afl_sim.learning.training.phase import ORDINARY, Phase


@dataclass(frozen=True)
class Local:
    """The training of a task; its vectors are of the shared parts, unless it is said otherwise.

    Attributes:
        client, task: the address of the task's randomness.
        steps: mini-batches to process.
        start: shape (P + B,): where the client begins.
        anchor: shape (P,): the global model that it downloaded.
        lr_factor: a factor on the optimizer's learning rate.
        correction: shape (P,): added to every gradient, or None.
    """

    client: int
    task: int
    steps: int
    start: Tensor
    anchor: Tensor
    lr_factor: float
    correction: Tensor | None = None

    def train(self, trainer: LocalTrainer, phase: Phase = ORDINARY) -> LocalResult:
        """Train it, with vectors that are of the trainer's whole model."""
        # What is not needed is left out, for the sake of simpler trainers.
        further: tuple[Any, ...] = () if self.correction is None else (self.correction,)
        if phase is not ORDINARY:
            further = (self.correction, phase)
        return trainer.train(
            self.client,
            self.task,
            self.steps,
            self.start,
            self.anchor,
            self.lr_factor,
            *further,
        )


@dataclass(frozen=True)
class Personalization:
    """How clients train what they keep.

    Body and head are trained together: Arivazhagan et al., "Federated Learning with
    Personalization Layers" (arXiv 1912.00818), Algorithm 1.

    Attributes:
        parts: which parts of the model are personal.
        initial: shape (Q,): what a client keeps before its first task.
    """

    parts: PersonalParts
    initial: Tensor

    @property
    def size(self) -> int:
        """Q, the number of entries that a client keeps."""
        return len(self.initial)

    def apart(self, own: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """What a task goes on from: the vector without the client's own entries, and these.

        Args:
            own: the vector of the client's last task, whose own entries come last; None for none.
        """
        if own is None:
            return None, self.initial
        if not self.size:
            return own, self.initial
        return own[: -self.size], own[-self.size :]

    def train(
        self, trainer: LocalTrainer, local: Local, kept: Tensor
    ) -> tuple[LocalResult, Tensor]:
        """Train a task: its result as the server sees it, and what the client keeps.

        Args:
            trainer: trains whole models.
            local: the task.
            kept: shape (Q,): what the client has kept; it is not changed.
        """
        parts = self.parts
        phase = Phase(pulled=parts.shared_parameters)
        result = self._whole(local, kept).train(trainer, phase)
        shared, personal = parts.split(result.vector)
        return replace(result, vector=shared, delta=parts.split(result.delta)[0]), personal

    def model(self, shared: Tensor, kept: Tensor) -> Tensor:
        """A client's own model, as a whole vector.

        Args:
            shared: shape (P + B,): the global model.
            kept: shape (Q,): what the client has kept.
        """
        return self.parts.join(shared, kept)

    def _whole(self, local: Local, kept: Tensor) -> Local:
        """The task with vectors of the whole model; nothing corrects the personal parameters."""
        parts, correction = self.parts, local.correction
        if correction is not None:
            correction = parts.join_parameters(correction, torch.zeros_like(kept))
        return replace(
            local,
            start=parts.join(local.start, kept),
            anchor=parts.join_parameters(local.anchor, kept),
            correction=correction,
        )
