"""A loss: a class, because its setting has limits."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from afl_sim import Loss


class Smoothed(Loss):
    """Cross-entropy with a share of each label spread over all classes."""

    share: float = Field(0.1, ge=0, lt=1, description="share of a label that is spread")

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        logs = F.log_softmax(outputs, dim=1)
        right = F.nll_loss(logs, labels, reduction="none")
        return (1 - self.share) * right - self.share * logs.mean(1)
