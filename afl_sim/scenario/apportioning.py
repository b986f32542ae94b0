"""Whole numbers in given proportions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def apportion(weights: npt.NDArray[np.float64], total: int) -> npt.NDArray[np.int64]:
    """Whole numbers in proportion to weights; their sum is exactly `total` (largest remainder).

    Weights are not negative; if all are zero, they count as equal. Ties go to the lower index.
    """
    largest = weights.max()
    shares = weights / largest if largest > 0 else np.ones_like(weights)
    exact = shares * (total / shares.sum())
    whole: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    missing = total - int(whole.sum())
    if missing < 0:  # rounding of huge totals only
        whole[np.argmax(whole)] += missing
        return whole
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    return whole
