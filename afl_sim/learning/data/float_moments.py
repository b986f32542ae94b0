"""Means and standard deviations of numbers that are no bytes, with the same bits everywhere.

NumPy adds up along an axis in an order of its own choice, unless the numbers that lie side by side
belong to different sums. So sums are first taken over rows that are at least `_WIDE` numbers wide,
and what is left is added exactly by `math.fsum`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

_WIDE = 4096
_NUMBERS = 1 << 22  # that are looked at together


def float_moments(inputs: npt.NDArray[Any], groups: int) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation of each group of numbers.

    Args:
        inputs: (samples, ...), finite; a sample consists of ``groups`` equally long parts, such as
            its channels.
        groups: their number.

    Returns:
        Two float64 arrays of shape (groups,).
    """
    count = inputs.size // groups
    mean = np.array([total / count for total in _sums(inputs, groups, lambda x: x)])
    width = inputs[0].size // groups
    shift = np.repeat(mean, width)
    squares = _sums(inputs, groups, lambda x: np.square(x - shift))
    return mean, np.sqrt(np.array([total / count for total in squares]))


def _sums(inputs: npt.NDArray[Any], groups: int, of: Callable[[Doubles], Doubles]) -> list[float]:
    """The sum over ``of(numbers)`` for each group, correct to the last bit but one."""
    width = inputs[0].size
    rows = -(-_WIDE // width)  # samples that are laid side by side
    many = rows * max(1, _NUMBERS // (rows * width))
    partial: list[Doubles] = []
    for begin in range(0, len(inputs), many):
        block = of(inputs[begin : begin + many].reshape(-1, width).astype(np.float64))
        whole = len(block) - len(block) % rows
        if whole:
            wide = block[:whole].reshape(-1, rows * width)
            partial.append(np.add.reduce(wide, axis=0).reshape(rows, width))
        partial.append(block[whole:])
    while len(partial) > 64:  # a large set: exact sums of all of these would take long
        partial = [_added(partial[i : i + 64]) for i in range(0, len(partial), 64)]
    parts = np.concatenate(partial).reshape(-1, groups, width // groups)
    return [math.fsum(parts[:, group].reshape(-1).tolist()) for group in range(groups)]


def _added(parts: list[Doubles]) -> Doubles:
    """Arrays of (rows, width) added up, row by row; shorter ones have fewer rows."""
    total = np.zeros_like(max(parts, key=len))
    for part in parts:
        total[: len(part)] += part
    return total
