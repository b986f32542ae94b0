"""The area under a ROC curve, by ranks."""

from __future__ import annotations

import math

import numpy as np

from afl_sim.learning.metrics.tally import Array


def area_under_roc(scores: Array, positive: Array) -> float:
    """How often a positive sample has a higher score than a negative one; equal scores count half.

    Args:
        scores: shape (n,); positive: which samples are positive, bool (n,).

    Returns:
        A number from 0 to 1; NaN if all samples are positive, or none is, or a score is NaN.
    """
    some = int(np.count_nonzero(positive))
    others = len(positive) - some
    if not some or not others or np.isnan(scores).any():
        return math.nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    of_positive = np.bincount(place.ravel()[positive], minlength=len(counts))
    of_negative = counts - of_positive
    below = np.cumsum(of_negative) - of_negative
    won = 2 * int(of_positive @ below) + int(of_positive @ of_negative)  # in halves
    return won / (2 * some * others)
