"""From the states at all positions of a sequence to what is asked for."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn


class Readout(nn.Module):
    """The states of every position, that of the last one, or the mean of all.

    Args:
        how: which of these.
    """

    def __init__(self, how: Literal["every", "last", "mean"]) -> None:
        super().__init__()
        self.how = how

    def forward(self, states: Tensor) -> Tensor:
        """States of shape (N, length, width) to the same shape, or to (N, width)."""
        if self.how == "last":
            return states[:, -1]
        return states.mean(1) if self.how == "mean" else states

    def extra_repr(self) -> str:
        """What is shown when the module is printed."""
        return self.how
