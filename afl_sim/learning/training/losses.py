"""The losses that a scenario can name."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def _mean_squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    return F.mse_loss(outputs, F.one_hot(labels, outputs.shape[1]).to(outputs.dtype))


def _squared_errors(outputs: Tensor, labels: Tensor, reduction: str) -> Tensor:
    targets = F.one_hot(labels, outputs.shape[1]).to(outputs.dtype)
    return F.mse_loss(outputs, targets, reduction=reduction).mean(1)


LOSSES: dict[str, Loss] = {
    "cross_entropy": F.cross_entropy,
    "nll": F.nll_loss,  # for models that end in log_softmax
    "mse": _mean_squared_error,  # against one-hot labels
}
SAMPLE_LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "nll": F.nll_loss,
    "mse": _squared_errors,
}
"""The same losses sample by sample, with ``reduction="none"``."""
