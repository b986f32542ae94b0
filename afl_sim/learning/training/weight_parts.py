"""A vector of a model's numbers, taken apart like its weights, and put together from them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


def like_weights(vector: Tensor, weights: list[nn.Parameter]) -> list[Tensor]:
    """The parts of a vector of shape (P,), each of the shape, type and place of its weight."""
    parts = vector.split([weight.numel() for weight in weights])
    return [
        torch.empty_like(w).copy_(part.view(w.shape))
        for w, part in zip(weights, parts, strict=True)
    ]


def add_to_gradients(weights: list[nn.Parameter], vector: Tensor, factor: float) -> None:
    """Add a multiple of a vector to the gradients, except for weights without a gradient."""
    for weight, part in zip(weights, like_weights(vector, weights), strict=True):
        if weight.grad is not None:
            weight.grad.add_(part, alpha=factor)


def gradients_of(weights: Sequence[nn.Parameter]) -> Tensor:
    """The gradients of weights as one vector on the CPU; 0 where there is none."""
    parts = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    return torch.cat([part.reshape(-1) for part in parts]).cpu()


def merge(
    weights: list[nn.Parameter], vector: Tensor, share: float, flags: Sequence[bool] | None
) -> None:
    """Move weights with a flag towards a vector of shape (P,), unless they are frozen.

    Args:
        weights: changed in place.
        vector: the parameters of another model.
        share: of that model in what the weights become, 0 to 1.
        flags: which weights are changed; None for all.
    """
    parts = like_weights(vector, weights)
    pairs = zip(chosen(weights, flags), chosen(parts, flags), strict=True)
    with torch.no_grad():
        for weight, part in pairs:
            if weight.requires_grad:
                weight.copy_((1 - share) * weight + share * part)


def chosen(weights: Sequence[T], flags: Sequence[bool] | None) -> Sequence[T]:
    """Those with a flag; all if there are no flags."""
    return weights if flags is None else list(compress(weights, flags))
