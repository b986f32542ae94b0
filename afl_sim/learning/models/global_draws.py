"""The global generators of PyTorch, NumPy and Python, which all threads of a process share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import numpy as np

from afl_sim.lazy import nn, torch

one_thread_draws = RLock()
"""Held by the thread that draws from a global generator after seeding it."""

_NEVER_DRAW = frozenset({
    "Sequential", "Flatten", "Linear", "Conv2d", "MaxPool2d", "AvgPool2d", "ReLU", "Tanh",
    "Sigmoid", "BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm", "Embedding", "Identity",
})  # fmt: skip


def may_draw(model: nn.Module) -> bool:
    """Whether a pass through the model may draw from a global generator, as dropout does."""
    from afl_sim.learning.models.few_channels import is_watched  # its classes need PyTorch

    never = {getattr(nn, name) for name in _NEVER_DRAW}
    return any(
        is_watched(module)
        or not (
            type(module) in never
            or type(module).__module__.startswith("afl_sim.")
            or (type(module) is nn.LSTM and not module.dropout)
        )
        for module in model.modules()
    )


@contextmanager
def global_generators(seed: int) -> Iterator[None]:
    """Seed the global generators, and restore them afterwards. Other threads wait."""
    with one_thread_draws:
        legacy, plain = np.random.get_state(), random.getstate()  # noqa: NPY002
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                np.random.seed(seed % 2**32)  # noqa: NPY002
                random.seed(seed)
                yield
        finally:
            np.random.set_state(legacy)  # noqa: NPY002
            random.setstate(plain)
