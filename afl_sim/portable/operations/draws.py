"""Random numbers of floating point, made from PyTorch's uniform ones."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from afl_sim.portable.elementary import ignoring_errors, log64, turn64
from afl_sim.portable.operations.arrays import back
from afl_sim.portable.operations.registry import not_portable, replaces

Generator = torch.Generator | None


@replaces("uniform_")
def uniform_(x: Tensor, low: float = 0, high: float = 1, *, generator: Generator = None) -> Tensor:
    """PyTorch's draws from 0 to 1, scaled in two rounded steps."""
    x.uniform_(0, 1, generator=generator)
    if (low, high) != (0, 1):
        x.mul_(high - low).add_(low)
    return x


def _normal(count: int, generator: Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Standard normal numbers by the method of Box and Muller."""
    pairs = torch.rand(2, (count + 1) // 2, dtype=torch.float64, generator=generator).numpy()
    with ignoring_errors():
        radius = np.sqrt(-2.0 * log64(1.0 - pairs[0]))
    cosine, sine = turn64(pairs[1])
    return np.concatenate([radius * cosine, radius * sine])[:count]


@replaces("normal_")
def normal_(x: Tensor, mean: float = 0, std: float = 1, *, generator: Generator = None) -> Tensor:
    if x.dtype not in (torch.float32, torch.float64):
        raise not_portable("aten.normal_", f"for {x.dtype}")
    drawn = _normal(x.numel(), generator) * float(std) + float(mean)
    return x.copy_(back(drawn.reshape(x.shape), x.dtype))


@replaces("randn")
def randn(size: Any, *, generator: Generator = None, **options: Any) -> Tensor:
    return normal_(torch.empty(size, **options), generator=generator)


@replaces("randn_like")
def randn_like(x: Tensor, *, generator: Generator = None, **options: Any) -> Tensor:
    return normal_(torch.empty_like(x, **options), generator=generator)


@replaces("normal.Tensor_Tensor", "normal.Tensor_float", "normal.float_Tensor")
def normal(mean: Any, std: Any, *, generator: Generator = None) -> Tensor:
    given = [v for v in (mean, std) if isinstance(v, Tensor)]
    shape = np.broadcast_shapes(*(v.shape for v in given))
    drawn = back(_normal(prod(shape), generator).reshape(shape), given[0].dtype)
    return drawn.mul_(std).add_(mean)
