"""The order of many whole numbers, in time that is proportional to how many they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from afl_sim.recording.columns import Column

_DIGIT: Final = 16  # bits; NumPy counts numbers of up to so many, and compares larger ones


def stable_order(keys: Column) -> npt.NDArray[np.intp]:
    """As ``numpy.argsort(keys, kind="stable")``, and faster if the keys are close together.

    Args:
        keys: int64 (n,).
    """
    if not len(keys):
        return np.empty(0, dtype=np.intp)
    least, largest = int(keys.min()), int(keys.max())
    if largest - least >> 2 * _DIGIT:  # three passes would take as long as to compare
        return np.argsort(keys, kind="stable")
    left = keys - least
    order = np.argsort(left.astype(np.uint16), kind="stable")  # by the lowest digit
    if largest - least >> _DIGIT:
        high = (left >> _DIGIT).astype(np.uint16)
        order = order[np.argsort(high[order], kind="stable")]
    return order
