"""Evenly spaced numbers, computed in float64 and rounded once."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor

from afl_sim.portable.operations.arrays import back
from afl_sim.portable.operations.registry import replaces


def _as_asked(numbers: Any, dtype: torch.dtype | None) -> Tensor:
    chosen = torch.get_default_dtype() if dtype is None else dtype
    result = back(numbers, chosen)
    return result if result.dtype == chosen else result.to(chosen)


@replaces("arange")
def arange(*values: Any, dtype: torch.dtype | None = None, **options: Any) -> Tensor:
    if all(isinstance(value, int) for value in values):
        return torch.arange(*values, dtype=dtype)
    start, end, step = {1: (0, *values, 1), 2: (*values, 1)}.get(len(values), values)
    count = ceil((end - start) / step)
    return _as_asked(start + step * np.arange(count, dtype=np.float64), dtype)


@replaces("linspace")
def linspace(
    start: Any, end: Any, steps: int, *, dtype: torch.dtype | None = None, **options: Any
) -> Tensor:
    first, last = float(start), float(end)
    share = np.arange(steps, dtype=np.float64) / max(1, steps - 1)
    return _as_asked(first * (1.0 - share) + last * share, dtype)
