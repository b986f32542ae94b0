"""The result of a client's task: what local training gives back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class LocalResult:
    """The result of a task.

    Attributes:
        vector: shape (P + B,): the local model after training. If the strategy makes clients keep
            vectors of their own, these follow.
        delta: shape (P,): parameters minus their starting point, or -g of a gradient task.
        loss: mean training loss over what was processed; NaN if no step was done.
    """

    vector: Tensor
    delta: Tensor
    loss: float
