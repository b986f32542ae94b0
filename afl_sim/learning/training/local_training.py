"""Local training: a pure function of parameters, the client's data, an address and settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from afl_sim.learning.data.batch_sizes import UNKNOWN, BatchSizes
from afl_sim.learning.data.inputs import Inputs
from afl_sim.learning.models.fixed import moving_parameters
from afl_sim.learning.models.global_draws import may_draw, one_thread_draws
from afl_sim.learning.models.local_state import LocalState
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.models.precision import forward_arithmetic
from afl_sim.learning.models.quicker import quickened
from afl_sim.learning.training.augmentation import Augmentation
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.losses import loss_of
from afl_sim.learning.training.phase import ORDINARY, Phase
from afl_sim.learning.training.public_batch import PublicBatch
from afl_sim.learning.training.task_draws import Shards, TaskDraws
from afl_sim.learning.training.weight_parts import (
    add_to_gradients,
    chosen,
    gradients_of,
    like_weights,
    merge,
)
from afl_sim.streams import Streams


class LocalTrainer(TaskDraws):
    """Trains clients' tasks with one model object, which is loaded again for each task.

    Args:
        model: the architecture; its parameters are scratch space.
        inputs: of N samples, (N, C, H, W) float32 for images; labels: as `loss_of` takes them.
        shards: which samples a client holds.
        streams: the run's random streams.
        settings: how every client trains.
        sizes: the sizes of the batches that it will get, as far as they are known.
        weights: float32 (N,): how much each sample counts; None if they count the same.

    Attributes:
        model: what is trained: the architecture, or a faster form of it (`quickened`).
        layout: the layout of the model's vector.
        arithmetic: the context of a forward pass.
        loss: of a mini-batch.
        augment: changes a mini-batch of training.
        device: where the model and the samples are. Vectors are always on the CPU.
        turn: the context of a task or an evaluation. If the model may draw from the global
            generator, as dropout does, other threads wait meanwhile.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        labels: Tensor,
        shards: Shards,
        streams: Streams,
        settings: LocalSettings,
        sizes: BatchSizes = UNKNOWN,
        weights: Tensor | None = None,
    ) -> None:
        self.device = torch.device(settings.device)
        self.model = model.to(self.device)
        if settings.device == "cpu" and not settings.portable:
            pool = settings.precision == "float32" and not settings.batched
            self.model = quickened(model, inputs.shape[1:], pool, sizes)
        self.layout = ParameterVector(self.model)
        super().__init__(shards, streams, settings, self.layout.num_parameters)
        self._weights = [weight for _, weight in moving_parameters(self.model)]
        self.inputs = inputs.to(self.device)
        self.labels = labels.to(self.device)
        self.weights = None if weights is None else weights.to(self.device)
        self.loss = loss_of(settings.loss, labels)
        self.augment = Augmentation(settings.augment)
        self.arithmetic = forward_arithmetic(settings.precision, settings.device)
        self._local_state = LocalState(self.model)
        self._public: PublicBatch | None = None
        self._draws = may_draw(self.model)
        self.turn: AbstractContextManager[Any] = one_thread_draws if self._draws else nullcontext()

    @property
    def learning_rate(self) -> float:
        """Of the local optimizer, before any factor."""
        return float(self.settings.optimizer.model_dump()["lr"])

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
        """Do ``steps`` local steps.

        Args:
            client, task: the address of the task's randomness.
            steps: mini-batches to process.
            start: shape (P + B,): where the client begins.
            anchor: shape (P,): the global model that the proximal term pulls towards.
            lr_factor: a factor on the optimizer's learning rate.
            correction: shape (P,): added to every gradient.
            phase: what differs from the ordinary training of a task. Only that can be a gradient.
        """
        count = self.layout.num_parameters
        if steps == 0:
            return LocalResult(start, torch.zeros(count), float("nan"))
        with self.turn:
            self.load(start, phase.stream("dropout"), client, task)
            self.model.train()
            if self.settings.gradient and phase == ORDINARY:
                result = self._gradient(client, task, steps, start)
                if correction is None:
                    return result
                return replace(result, delta=result.delta - correction)
            return self._descend(client, task, steps, start, anchor, lr_factor, correction, phase)

    def load(self, vector: Tensor, purpose: str, client: int = 0, task: int = 0) -> None:
        """Load a vector of shape (P + B,) into the model, and reset everything else in the model.

        Args:
            vector: its parameters and floating buffers.
            purpose, client, task: the address of the random draws of its layers.
        """
        if self._draws:
            # On a machine without a GPU `torch.manual_seed` would format and keep the call stack
            # for each kind of GPU.
            seed_global = torch.manual_seed
            if self.device.type == "cpu":
                seed_global = torch.default_generator.manual_seed
            seed_global(self._streams.integer(purpose, client, task))
        self.forget()
        self.layout.write(self.model, vector)

    def forget(self) -> None:
        """Reset everything in the model except its vector."""
        self._local_state.put_back()

    def samples(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels of a mini-batch, where the model is."""
        there = indices.to(self.device)
        return self.inputs.index_select(0, there), self.labels.index_select(0, there)

    def weights_of(self, indices: Tensor) -> Tensor | None:
        """The weights of a mini-batch; None if all samples count the same."""
        if self.weights is None:
            return None
        return self.weights.index_select(0, indices.to(self.device))

    def outputs(self, inputs: Tensor) -> Tensor:
        """The model's outputs for inputs, in float32."""
        with self.arithmetic:
            outputs: Tensor = self.model(inputs)
        return outputs.float()

    def squared_gradient_norm(self, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """The squared L2 norm of a gradient at the loaded model, in evaluation mode.

        Args:
            batches: indices of samples, and the factor on the loss of each sample's parts in the
                objective.
        """
        self.model.eval()
        self.model.zero_grad()
        for rows, weights in batches:
            inputs, labels = self.samples(rows)
            losses = self.loss.sums(self.outputs(inputs), labels)
            losses.dot(weights).backward()  # gradients add up
        total = sum(
            float(weight.grad.double().square().sum())
            for weight in self._weights
            if weight.grad is not None
        )
        self.model.zero_grad()
        return float(total)

    def use_public(self, batch: PublicBatch) -> None:
        """From now on `public_gradient` is that of this batch."""
        self._public = batch.to(self.device)

    def public_gradient(self, vector: Tensor) -> Tensor:
        """The gradient of the mean loss of the public batch, shape (P,), in evaluation mode.

        Args:
            vector: shape (P + B,): the model.
        """
        assert self._public is not None
        with self.turn:
            self.load(vector, "public")
            return self._gradient_of(self._public)

    def _gradient_of(self, batch: PublicBatch) -> Tensor:
        """The gradient of a batch's mean loss at the loaded model, in evaluation mode."""
        self.model.eval()
        self.model.zero_grad()
        self.loss(self.outputs(batch.inputs), batch.labels).backward()
        gradient = gradients_of(self._weights)
        self.model.zero_grad()
        return gradient

    def _descend(
        self,
        client: int,
        task: int,
        steps: int,
        start: Tensor,
        anchor: Tensor,
        lr_factor: float,
        correction: Tensor | None,
        phase: Phase,
    ) -> LocalResult:
        settings, weights = self.settings, self._weights
        optimizer = (phase.optimizer or settings.optimizer).stepper(weights, lr_factor)
        pull = phase.pull(settings.proximal)
        anchors = chosen(like_weights(anchor, weights), phase.pulled) if pull else []
        pulled = chosen(weights, phase.pulled) if pull else []
        kept = [] if phase.trained is None else chosen(weights, [not t for t in phase.trained])
        shifts = [] if correction is None else like_weights(correction, weights)
        noise = self.noise(client, task, phase)
        total = torch.zeros((), device=self.device)
        amounts: float = 0
        batches = self._mini_batches(client, task, steps, phase)
        for step, (inputs, labels, counting) in enumerate(batches, start=1):
            optimizer.zero_grad()
            loss = self.loss(self.outputs(inputs), labels, counting)
            loss.backward()
            if pull:
                for weight, anchor_part in zip(pulled, anchors, strict=True):
                    if weight.grad is not None:
                        weight.grad.add_(weight.detach() - anchor_part, alpha=pull)
            if settings.gradient_noise:
                add_to_gradients(weights, next(noise), 1.0)
            if shifts:
                for weight, shift in zip(weights, shifts, strict=True):
                    if not weight.requires_grad:
                        continue
                    weight.grad = shift.clone() if weight.grad is None else weight.grad.add_(shift)
            for weight in kept:
                weight.grad = None
            if settings.clip_norm is not None:
                nn.utils.clip_grad_norm_(weights, settings.clip_norm)
            optimizer.step()
            if phase.fresh is not None and step == phase.fresh.after:
                newer = phase.fresh.model[: self.layout.num_parameters]
                merge(weights, newer, phase.fresh.weight, phase.trained)
            amount = self.loss.amount(labels, counting)
            total += loss.detach() * amount
            amounts += amount
        end = self.layout.read(self.model).cpu()
        count = self.layout.num_parameters
        return LocalResult(end, end[:count] - start[:count], float(total) / (amounts or 1))

    def _gradient(self, client: int, task: int, steps: int, start: Tensor) -> LocalResult:
        weights = self._weights
        for weight in weights:
            weight.grad = None
        total = torch.zeros((), device=self.device)
        amounts: float = 0
        noise = self.noise(client, task)
        for inputs, labels, counting in self._mini_batches(client, task, steps):
            amount = self.loss.amount(labels, counting)
            loss = self.loss(self.outputs(inputs), labels, counting) * amount
            loss.backward()  # gradients add up
            if self.settings.gradient_noise:
                add_to_gradients(weights, next(noise), amount)
            total += loss.detach()
            amounts += amount
        amounts = amounts or 1  # no sample has a label: the gradient is 0
        if self.settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(weights, self.settings.clip_norm * amounts)
        gradient = gradients_of(weights)
        for weight in weights:
            weight.grad = None
        end, count = start, len(gradient)
        if count < self.layout.size:
            end = torch.cat([start[:count], self.layout.read(self.model)[count:].cpu()])
        return LocalResult(end, gradient.div_(-amounts), float(total) / amounts)

    def _mini_batches(
        self, client: int, task: int, steps: int, phase: Phase = ORDINARY
    ) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Inputs, labels and weights of the task's mini-batches, changed if settings ask for it."""
        draws = self.augmenting(client, task, phase)
        for batch in self.batch_indices(client, task, steps, phase):
            inputs, labels = self.samples(batch)
            changed = inputs if draws is None else self.augment(inputs, draws)
            yield changed, labels, self.weights_of(batch)
