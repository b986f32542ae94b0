"""The check by which the server refuses wrong updates, and updates that are made wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from afl_sim.strategies.base import Update


@dataclass(frozen=True)
class Guard:
    """What the server refuses.

    Attributes:
        max_norm: the largest norm of an update that it accepts; None for any norm.
    """

    max_norm: float | None = None

    def accepts(self, update: Update) -> bool:
        """Whether the update is finite, and its norm is not too large."""
        if update.steps and not math.isfinite(update.loss):
            return False
        if not (torch.isfinite(update.delta).all() and torch.isfinite(update.params).all()):
            return False
        return self.max_norm is None or float(update.delta.norm()) <= self.max_norm


def corrupted(update: Update, factor: float, gradient: bool) -> Update:
    """The update as it arrives when its numbers are multiplied by ``factor``, or are NaN.

    In a gradient method, the update's model is where the gradient was taken, so it stays right.
    """
    delta = update.delta * factor
    if gradient and not math.isnan(factor):
        return replace(update, delta=delta)
    return replace(update, delta=delta, params=update.params + (factor - 1) * update.delta)
