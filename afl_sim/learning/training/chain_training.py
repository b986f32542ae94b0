"""Local training of chains, in portable arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from afl_sim.learning.chain.chain import Chain
from afl_sim.learning.data.inputs import FlatRows, Inputs, flat_rows
from afl_sim.learning.models.layout import Layout
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.optimizers import OptimizerSpec
from afl_sim.learning.training.phase import ORDINARY, Fresh, Phase
from afl_sim.learning.training.public_batch import PublicBatch
from afl_sim.learning.training.task_draws import Shards
from afl_sim.portable.blas import Array32
from afl_sim.portable.elementary import ignoring_errors
from afl_sim.portable.sums import squared_norm
from afl_sim.streams import Streams

Ints = npt.NDArray[np.int64]
_CLIPPED = 1e-6  # added to the norm, as torch.nn.utils.clip_grad_norm_ does


class ChainTrainer(LocalTrainer):
    """Like a `LocalTrainer`, whose rules it follows step by step.

    Args:
        chain: computes what ``model`` computes.
        model: gives the layout of vectors; it is never run.
        inputs, labels, shards, streams, settings: as for `LocalTrainer`.
    """

    def __init__(
        self,
        chain: Chain,
        model: nn.Module,
        inputs: Inputs,
        labels: Tensor,
        shards: Shards,
        streams: Streams,
        settings: LocalSettings,
    ) -> None:
        super().__init__(model, inputs, labels, shards, streams, settings)
        self._chain = chain
        self.turn = nullcontext()  # dropout has a generator of its own
        self._samples = flat_rows(inputs)
        self._targets = labels.numpy()

    def train(self, *arguments: Any, **named: Any) -> LocalResult:
        with ignoring_errors():  # a run that diverges is reported by its loss
            return super().train(*arguments, **named)

    def load(self, vector: Tensor, purpose: str, client: int = 0, task: int = 0) -> None:
        self._chain.seed(self._streams.integer(purpose, client, task))
        self._chain.load(vector.detach().numpy())

    def outputs(self, inputs: Tensor) -> Tensor:
        samples = inputs.reshape(len(inputs), -1).numpy()
        with ignoring_errors():
            return torch.from_numpy(self._chain.outputs(samples, np.arange(len(samples))))

    def squared_gradient_norm(self, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        chain, samples, targets = self._chain, self._samples, self._targets
        with ignoring_errors():
            for index, (rows, weights) in enumerate(batches):
                chain.differentiate(
                    samples, targets, rows.numpy(), weights.numpy(), index > 0, training=False
                )
            return squared_norm(chain.gradient)

    def _gradient_of(self, batch: PublicBatch) -> Tensor:
        chain, rows = self._chain, np.arange(len(batch.labels))
        weights = np.full(len(rows), 1 / len(rows), np.float32)
        samples, labels = flat_rows(batch.inputs), batch.labels.numpy()
        with ignoring_errors():
            chain.differentiate(samples, labels, rows, weights, training=False)
        return torch.from_numpy(chain.parameters.outward(chain.gradient))

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
        settings, chain = self.settings, self._chain
        optimizer = phase.optimizer or settings.optimizer
        stepper = _Stepper(chain, self.layout, optimizer, lr_factor, phase.trained)
        pull = np.float32(phase.pull(settings.proximal))
        anchors = self._inward(anchor) if pull else None
        unpulled = None if anchors is None else stepper.entries_without(phase.pulled)
        kept = stepper.kept
        shift = None if correction is None else self._inward(correction)
        noise = self.noise(client, task, phase) if settings.gradient_noise else None
        changed = (
            settings.clip_norm is not None
            or stepper.decay
            or any(each is not None for each in (anchors, shift, noise, kept))
        )
        total, samples = 0.0, 0
        gathered = self._gathered(client, task, steps, phase)
        for step, (batch, labels, rows) in enumerate(gathered, start=1):
            if stepper.rate is not None and not changed:
                losses = chain.descend(batch, labels, rows, stepper.rate)
            else:
                losses = chain.differentiate(batch, labels, rows, 1.0 / len(rows))
                gradient = chain.gradient
                if anchors is not None:
                    away = pull * (chain.weights - anchors)
                    if unpulled is not None:
                        away[unpulled] = 0
                    gradient += away
                if noise is not None:
                    gradient += self._inward(next(noise))
                if shift is not None:
                    gradient += shift
                if kept is not None:
                    gradient[kept] = 0
                if settings.clip_norm is not None:
                    _clip(gradient, settings.clip_norm)
                stepper.step()
            if phase.fresh is not None and step == phase.fresh.after:
                stepper.merge(phase.fresh)
            total += math.fsum(losses)
            samples += len(rows)
        end = torch.from_numpy(chain.parameters.outward(chain.weights))
        return LocalResult(end, end - start, total / samples)

    def _gradient(self, client: int, task: int, steps: int, start: Tensor) -> LocalResult:
        chain, settings = self._chain, self.settings
        noise = self.noise(client, task) if settings.gradient_noise else None
        total, samples = 0.0, 0
        for batch, labels, rows in self._gathered(client, task, steps):
            losses = chain.differentiate(batch, labels, rows, 1.0, samples > 0)
            if noise is not None:
                added = np.float32(len(rows)) * self._inward(next(noise))
                np.add(chain.gradient, added, out=chain.gradient)
            total += math.fsum(losses)
            samples += len(rows)
        if settings.clip_norm is not None:
            _clip(chain.gradient, settings.clip_norm * samples)
        gradient = chain.parameters.outward(chain.gradient)
        np.divide(gradient, np.float32(-samples), out=gradient)
        return LocalResult(start, torch.from_numpy(gradient), total / samples)

    def _gathered(
        self, client: int, task: int, steps: int, phase: Phase = ORDINARY
    ) -> Iterator[tuple[FlatRows, Ints, Ints]]:
        """The task's mini-batches: samples, their labels, and which of them to take."""
        draws = self.augmenting(client, task, phase)
        for rows in self.batches(client, task, steps, phase):
            if draws is None:
                yield self._samples, self._targets, rows
                continue
            changed = self.augment(self.inputs.index_select(0, torch.from_numpy(rows)), draws)
            yield flat_rows(changed), self._targets[rows], np.arange(len(rows))

    def _inward(self, vector: Tensor) -> Array32:
        given = vector.detach().numpy()
        return self._chain.parameters.inward(given, np.empty_like(given))


class _Stepper:
    """The optimizer of a task.

    Args:
        chain: what is trained; it holds the weights at the start.
        layout: of the model's vector.
        spec, lr_factor: the optimizer, and a factor on its rate.
        trained: for each parameter, whether it is trained; None if all are.

    Attributes:
        rate: the learning rate of SGD without momentum; None for other optimizers.
        decay: its weight decay; 0 for other optimizers, which have their own.
        kept: bool (P,), in the chain's order: the entries that are not trained; None if all are.
    """

    def __init__(
        self,
        chain: Chain,
        layout: ParameterVector,
        spec: OptimizerSpec,
        lr_factor: float,
        trained: Sequence[bool] | None = None,
    ) -> None:
        self._chain = chain
        self._layout = layout
        plain = spec.rate_and_decay(lr_factor)
        self.rate = None if plain is None else plain[0]
        self.decay = 0.0 if plain is None else plain[1]
        self.kept = self.entries_without(trained)
        self._start = None if self.kept is None else chain.weights[self.kept]
        if self.rate is not None:
            return
        self._in_order = not spec.by_entry  # else the order of the entries does not matter
        self._weights, self._gradient = chain.weights, chain.gradient
        if self._in_order:
            self._weights = chain.parameters.outward(chain.weights)
            self._gradient = np.empty_like(self._weights)
        of: Layout = layout
        if trained is not None:
            both = tuple(a and b for a, b in zip(layout.trained, trained, strict=True))
            of = Layout(layout.names, layout.shapes, both)
        weights, gradient = (torch.from_numpy(v) for v in (self._weights, self._gradient))
        parameters = []
        for weight, part in zip(
            *([v] if spec.by_entry else of.trained_parts(v) for v in (weights, gradient)),
            strict=True,
        ):
            parameters.append(nn.Parameter(weight))
            parameters[-1].grad = part
        self._optimizer = spec.build(parameters, lr_factor)

    def step(self) -> None:
        """Move the weights along the gradient."""
        if self.rate is not None:
            self._decay()
            self._chain.step(self.rate)
            return
        if self._in_order:
            np.copyto(self._gradient, self._chain.parameters.outward(self._chain.gradient))
        self._optimizer.step()
        if self._in_order:
            self._chain.load(self._weights)
        elif self.kept is not None:  # weight decay moves entries without a gradient, too
            self._weights[self.kept] = self._start

    def merge(self, fresh: Fresh) -> None:
        """Merge a newer model into the weights."""
        parameters, kept = self._chain.parameters, self.kept
        before = parameters.outward(self._chain.weights)
        given = fresh.model.detach().numpy()[: len(before)]
        weight = np.float32(fresh.weight)
        merged = np.empty_like(before)
        np.multiply(before, np.float32(1 - fresh.weight), out=merged)
        np.add(merged, weight * given, out=merged)
        self._chain.load(merged)
        if kept is not None:
            self._chain.weights[kept] = self._start
        if self.rate is None and self._in_order:
            np.copyto(self._weights, parameters.outward(self._chain.weights))

    def _decay(self) -> None:
        """Add the pull of the weight decay, in the roundings of torch's SGD."""
        if self.decay:
            gradient, weights = self._chain.gradient, self._chain.weights
            gradient += np.float32(self.decay) * weights
            if self.kept is not None:  # weight decay moves entries without a gradient, too
                gradient[self.kept] = 0

    def entries_without(self, flags: Sequence[bool] | None) -> npt.NDArray[np.bool_] | None:
        """The entries of parameters without a flag, in the chain's order; None without flags."""
        if flags is None:
            return None
        sizes = self._layout.sizes[: len(self._layout.trained)]
        entries = np.repeat(np.array(flags, np.float32), sizes)
        inward = self._chain.parameters.inward(entries, np.empty_like(entries))
        return np.equal(inward, 0)


def _clip(gradient: Array32, largest: float) -> None:
    factor = largest / (math.sqrt(squared_norm(gradient)) + _CLIPPED)
    np.multiply(gradient, np.float32(min(factor, 1.0)), out=gradient)
