"""Losses: what they are of a sample, and how the samples of a mini-batch share in its mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from afl_sim.errors import TaskError
from afl_sim.learning.data.form import IGNORED
from afl_sim.scenario.sections.losses import Huber, Loss, loss_name

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class TaskLoss:
    """A loss for the labels of a data set. What it takes the mean over has equal parts.

    The parts are the samples. Of labels for positions they are the positions that have a label; and
    where samples have weights, each part counts as much as its sample's weight.

    Attributes:
        mean: of outputs and labels: the mean over all parts. Without a part it is 0.
        sums: of outputs and labels: the sum over the parts of each sample, shape (n,).
        parts: of labels: the number of parts of each sample, shape (n,); None if it is always 1.
    """

    mean: Callable[[Tensor, Tensor], Tensor]
    sums: Callable[[Tensor, Tensor], Tensor]
    parts: Callable[[Tensor], Tensor] | None = None

    def __call__(self, outputs: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean over a mini-batch.

        Args:
            outputs: what the model gives, float32.
            labels: of the same samples.
            weights: of the samples, float32 (n,); None if they are equal.
        """
        if weights is None:
            return self.mean(outputs, labels)
        total = self.shares(labels, weights).sum()
        return (weights * self.sums(outputs, labels)).sum() / torch.where(total == 0, 1.0, total)

    def amount(self, labels: Tensor, weights: Tensor | None = None) -> int | float:
        """How much a mini-batch counts beside others: what its mean is taken over."""
        if weights is None and self.parts is None:
            return len(labels)
        return self.shares(labels, weights).sum().item()

    def shares(self, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """How much each sample counts, shape (n,)."""
        if self.parts is None:
            return torch.ones(len(labels), device=labels.device) if weights is None else weights
        parts = self.parts(labels)
        return parts if weights is None else weights * parts


def loss_of(loss: str | Huber | Loss, labels: Tensor) -> TaskLoss:
    """A scenario's loss for labels of this shape and type.

    Args:
        loss: the scenario's ``training.loss``; it fits the labels.
        labels: int64 (n,) of classes, int64 (n, length) of positions, or float32 (n, outputs).
    """
    if labels.is_floating_point():
        return _of_numbers(loss)
    return _of_classes(loss) if labels.dim() == 1 else _of_positions(loss)


def _mean_squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    return F.mse_loss(outputs, F.one_hot(labels, outputs.shape[1]).to(outputs.dtype))


def _squared_errors(outputs: Tensor, labels: Tensor, reduction: str) -> Tensor:
    targets = F.one_hot(labels, outputs.shape[1]).to(outputs.dtype)
    return F.mse_loss(outputs, targets, reduction=reduction).mean(1)


_CLASSES: dict[str, tuple[Function, Function]] = {
    "cross_entropy": (F.cross_entropy, F.cross_entropy),
    "nll": (F.nll_loss, F.nll_loss),  # for models that end in log_softmax
    "mse": (_mean_squared_error, _squared_errors),  # against one-hot labels
}
"""The mean over a batch, and the function that takes ``reduction="none"``."""

_NUMBERS: dict[str, Function] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
    "bce": F.binary_cross_entropy_with_logits,
}


def _of_classes(loss: str | Huber | Loss) -> TaskLoss:
    if isinstance(loss, Loss):
        own = _checked(loss)
        return TaskLoss(lambda outputs, labels: own(outputs, labels).mean(), own)
    mean, each = _CLASSES[loss_name(loss)]
    return TaskLoss(mean, lambda outputs, labels: each(outputs, labels, reduction="none"))


def _of_numbers(loss: str | Huber | Loss) -> TaskLoss:
    if isinstance(loss, Loss):
        own = _checked(loss)
        return TaskLoss(lambda outputs, labels: own(outputs, labels).mean(), own)
    function = _NUMBERS[loss_name(loss)]
    settings: dict[str, Any] = {"delta": loss.delta} if isinstance(loss, Huber) else {}

    def mean(outputs: Tensor, labels: Tensor) -> Tensor:
        return function(outputs, labels, **settings)

    def sums(outputs: Tensor, labels: Tensor) -> Tensor:
        return function(outputs, labels, reduction="none", **settings).flatten(1).mean(1)

    return TaskLoss(mean, sums)


def _parts(labels: Tensor) -> Tensor:
    return (labels != IGNORED).sum(1)


def _of_positions(loss: str | Huber | Loss) -> TaskLoss:
    if isinstance(loss, Loss):
        each = _at_positions(_checked(loss))
        return TaskLoss(_mean_of(each), each, _parts)
    function = _CLASSES[loss_name(loss)][1]

    def mean(outputs: Tensor, labels: Tensor) -> Tensor:
        flat = labels.flatten()
        total = function(outputs.flatten(0, 1), flat, ignore_index=IGNORED, reduction="sum")
        return total / (flat != IGNORED).sum().clamp(min=1)

    def sums(outputs: Tensor, labels: Tensor) -> Tensor:
        losses = function(
            outputs.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
        )
        return losses.view(labels.shape).sum(1)

    return TaskLoss(mean, sums, _parts)


def _mean_of(sums: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def mean(outputs: Tensor, labels: Tensor) -> Tensor:
        return sums(outputs, labels).sum() / _parts(labels).sum().clamp(min=1)

    return mean


def _at_positions(own: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of samples, applied to the positions that have a label."""

    def sums(outputs: Tensor, labels: Tensor) -> Tensor:
        counted = labels != IGNORED
        if not counted.any():
            return (0.0 * outputs).flatten(1).sum(1)
        losses = outputs.new_zeros(labels.shape)
        losses[counted] = own(outputs[counted], labels[counted])
        return losses.sum(1)

    return sums


def _checked(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of the user's own that has to give a number for each sample."""

    def each(outputs: Tensor, labels: Tensor) -> Tensor:
        losses = loss(outputs, labels)
        if not isinstance(losses, Tensor):
            found = f"a {type(losses).__name__}"
        elif losses.shape != (len(labels),):
            found = f"a tensor of {tuple(losses.shape)}"
        elif losses.dtype != torch.float32:
            found = f"a tensor of {losses.dtype}"
        else:
            return losses
        raise TaskError(
            f"training.loss: {loss.kind} returns {found} for {len(labels)} samples; expected "
            f"float32 ({len(labels)},), a loss for each"
        )

    return each


def try_loss(loss: Loss, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Try a loss of the user's own: its mean, and the gradient with respect to the outputs.

    Args:
        loss: the scenario's.
        outputs, labels: like those of a mini-batch.

    Raises:
        Exception: whatever the loss raises.
        TaskError: it does not give a number for each sample, or has no gradient.
    """
    given = outputs.clone().requires_grad_()
    value = loss_of(loss, labels)(given, labels)
    if not value.requires_grad:
        raise TaskError(
            f"training.loss: the result of {loss.kind} does not depend on the outputs by "
            "operations of PyTorch; expected a loss that autograd can differentiate"
        )
    value.backward()
    assert given.grad is not None
    return value.detach(), given.grad
