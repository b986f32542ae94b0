"""When two outcomes of a toy run are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from afl_sim.strategies.base import Client, Population, Update, Work


def same(a: Any, b: Any) -> bool:
    """Equality to the bit that looks into tensors, updates and containers."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, Update | Client | Work | Population):
        return type(a) is type(b) and all(
            same(getattr(a, key), getattr(b, key)) for key in a.__dataclass_fields__
        )
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, Sequence) and not isinstance(a, str):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def close(a: Tensor, b: Tensor) -> bool:
    """Equality to a few units in the last place of float32."""
    return torch.allclose(a, b, rtol=1e-5, atol=1e-5)
