"""What clients keep of a model for themselves, and how they train it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from afl_sim.learning.models.layout import Layout
from afl_sim.learning.models.personal import PersonalParts
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.phase import ORDINARY, Fresh, Phase
from afl_sim.scenario.sections.personalization import Ditto, FedRep

_PURPOSE = "personal"


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
        extra_steps: further mini-batches, for what the client keeps for itself.
        proximal_factor: a factor on the weight of the proximal term of the settings.
        fresh: a newer model that it merges into its own on the way; None for none.
    """

    client: int
    task: int
    steps: int
    start: Tensor
    anchor: Tensor
    lr_factor: float
    correction: Tensor | None = None
    extra_steps: int = 0
    proximal_factor: float = 1.0
    fresh: Fresh | None = None

    def train(self, trainer: LocalTrainer, phase: Phase = ORDINARY) -> LocalResult:
        """Train it, with vectors that are of the trainer's whole model."""
        if self.proximal_factor != 1.0:
            phase = replace(phase, proximal_factor=self.proximal_factor)
        if self.fresh is not None:
            phase = replace(phase, fresh=self.fresh)
        # What is not needed is left out, for the sake of simpler trainers.
        further: tuple[Any, ...] = () if self.correction is None else (self.correction,)
        if phase != ORDINARY:
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

    Without further steps (``spec`` is None) all parts are trained together: Arivazhagan et al.,
    "Federated Learning with Personalization Layers" (arXiv 1912.00818), Algorithm 1. The papers of
    the others are named at `FedRep` and `Ditto`.

    Attributes:
        parts: which parts of the model are personal; None if clients keep whole models beside.
        initial: shape (Q,): what a client keeps before its first task.
        spec: the scenario's ``training.personalization``.
    """

    parts: PersonalParts | None
    initial: Tensor
    spec: FedRep | Ditto | None = None

    @property
    def size(self) -> int:
        """Q, the number of entries that a client keeps."""
        return len(self.initial)

    def shared(self, trainer: LocalTrainer) -> Layout:
        """The layout of what is sent of the trainer's model."""
        return trainer.layout if self.parts is None else self.parts.shared

    def apart(self, own: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """What a task goes on from: the vector without the client's own entries, and these.

        Args:
            own: the vector of the client's last task, whose own entries come last; None for none.
        """
        if own is None:
            return None, self.initial
        return own[: -self.size], own[-self.size :]

    def model(self, shared: Tensor, kept: Tensor) -> Tensor:
        """A client's own model, as a whole vector.

        Args:
            shared: shape (P + B,): the global model.
            kept: shape (Q,): what the client has kept.
        """
        return kept if self.parts is None else self.parts.join(shared, kept)

    def train(
        self, trainer: LocalTrainer, local: Local, kept: Tensor
    ) -> tuple[LocalResult, Tensor]:
        """Train a task: its result as the server sees it, and what the client keeps.

        Args:
            trainer: trains whole models.
            local: the task.
            kept: shape (Q,): what the client has kept; it is not changed.
        """
        if isinstance(self.spec, Ditto):
            return local.train(trainer), self._own_model(trainer, local, kept, self.spec.weight)
        assert self.parts is not None
        if isinstance(self.spec, FedRep):
            return self._one_after_the_other(trainer, local, kept, self.parts)
        phase = Phase(pulled=self.parts.shared_parameters)
        result = _whole(local, kept, self.parts).train(trainer, phase)
        return _sent(result, self.parts), self.parts.split(result.vector)[1]

    def _own_model(
        self, trainer: LocalTrainer, local: Local, kept: Tensor, weight: float
    ) -> Tensor:
        """The client's own model after its steps, tied to the model that it downloaded."""
        own = replace(local, steps=local.extra_steps, start=kept, correction=None)
        return own.train(trainer, Phase(_PURPOSE, proximal=weight)).vector

    def _one_after_the_other(
        self, trainer: LocalTrainer, local: Local, kept: Tensor, parts: PersonalParts
    ) -> tuple[LocalResult, Tensor]:
        """Train the personal parts with the shared ones fixed, then the shared ones.

        What is fixed keeps its buffers, too, although passes through it would change them.
        """
        head = replace(_whole(local, kept, parts), steps=local.extra_steps, correction=None)
        phase = Phase(_PURPOSE, trained=parts.personal_parameters, proximal=0.0)
        kept = parts.split(head.train(trainer, phase).vector)[1]
        phase = Phase(trained=parts.shared_parameters)
        return _sent(_whole(local, kept, parts).train(trainer, phase), parts), kept


def _whole(local: Local, kept: Tensor, parts: PersonalParts) -> Local:
    """A task with vectors of the whole model; nothing corrects its personal parameters."""
    correction = local.correction
    if correction is not None:
        correction = parts.join_parameters(correction, torch.zeros_like(kept))
    return replace(
        local,
        start=parts.join(local.start, kept),
        anchor=parts.join_parameters(local.anchor, kept),
        correction=correction,
    )


def _sent(result: LocalResult, parts: PersonalParts) -> LocalResult:
    """What is sent of the result of a whole model."""
    shared, delta = (parts.split(vector)[0] for vector in (result.vector, result.delta))
    return replace(result, vector=shared, delta=delta)
