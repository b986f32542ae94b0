"""A vector of a model's numbers, taken apart like its weights."""

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


def chosen(weights: Sequence[T], flags: Sequence[bool] | None) -> Sequence[T]:
    """Those with a flag; all if there are no flags."""
    return weights if flags is None else list(compress(weights, flags))
