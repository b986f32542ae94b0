"""The floating-point format in which a model computes. Its parameters are always float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def forward_arithmetic(precision: str, device: str) -> AbstractContextManager[Any]:
    """The context of a forward pass; it can be entered again and again.

    Args:
        precision: ``float32``, or ``bf16``: convolutions and matrix products take bfloat16 inputs,
            forward and backward; what PyTorch's autocast holds to be delicate stays in float32.
        device: ``cpu`` or ``cuda``.
    """
    if precision == "float32":
        return nullcontext()
    # Weights change in every step, so bfloat16 copies of them are not worth keeping.
    return torch.autocast(device, torch.bfloat16, cache_enabled=False)
