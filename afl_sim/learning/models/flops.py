"""Counts the floating-point operations of a model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def forward_flops(model: nn.Module, inputs: Tensor) -> int | None:
    """The operations of a forward pass; a multiplication and an addition are two.

    Matrix products, convolutions and attention are counted. Activations, pooling, normalisation
    and sums are not: they are few.

    Args:
        model: its state is unchanged.
        inputs: a batch, shape (N, ...).

    Returns:
        The operations of the whole batch. None if a layer multiplies in a way that PyTorch does
        not count, so that the number would be too small.
    """
    called: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, module in model.named_modules()
    ]
    try:
        with _as_products(), FlopCounterMode(display=False) as counter, torch.no_grad():
            model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    root = type(model).__name__
    counts: dict[str, int] = {
        name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()
    }

    def counted(name: str) -> int:
        return counts.get(f"{root}.{name}" if name else root, 0)

    for name in called:
        module = model.get_submodule(name)
        if not isinstance(module, nn.Embedding) and _multiplies(module):
            inside = [f"{name}.{child}".lstrip(".") for child, _ in module.named_children()]
            if counted(name) <= sum(map(counted, inside)):
                return None
    return int(counter.get_total_flops())


def _multiplies(module: nn.Module) -> bool:
    """Whether a module has weights of its own that are more than a factor for each channel."""
    return any(weight.dim() > 1 for weight in module.parameters(recurse=False))


@contextmanager
def _as_products() -> Iterator[None]:
    """Have LSTMs and attention computed by plain matrix products, which the counter knows.

    In version 2.14.1 it counts 0 for their fused kernels.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on TF32, which is not used here
        with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
            torch.backends.mha.set_fastpath_enabled(False)
            try:
                yield
            finally:
                torch.backends.mha.set_fastpath_enabled(fast)
