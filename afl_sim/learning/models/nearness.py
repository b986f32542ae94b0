"""Whether two computations gave the same result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from torch import Tensor

IN_DOUBLE: Final = (1e-6, 1e-9)
"""Bounds of `near` for double precision, of two models that compute the same.

The rounding of a deep network with batch normalisation over two samples comes to 1e-8 of its
outputs.
"""


def near(
    mine: Sequence[Tensor | None],
    others: Sequence[Tensor | None],
    of_each: float = 0.05,
    of_all: float = 1e-3,
) -> bool:
    """Whether tensors are equal up to rounding, judged by their norms.

    The defaults are for float32, where rounding may switch single ReLUs on or off.

    Args:
        mine, others: tensors of the same shapes; None in one must be None in the other.
        of_each: the largest difference, as a share of the norm of each tensor of ``others``.
        of_all: an additional difference, as a share of the largest of these norms.
    """
    if [each is None for each in mine] != [each is None for each in others]:
        return False
    pairs = [(a, b) for a, b in zip(mine, others, strict=True) if a is not None and b is not None]
    whole = max((float(b.norm()) for _, b in pairs), default=0.0)
    return all(
        float((a - b).norm()) <= of_each * float(b.norm()) + of_all * whole for a, b in pairs
    )
