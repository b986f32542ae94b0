"""Cosines and sines by exact operations of NumPy, in float64."""

from __future__ import annotations

import numpy as np

from afl_sim.portable.elementary import Double
from afl_sim.portable.exact_tables import COSINE, HALF_PI, SINE


def turn64(x: Double) -> tuple[Double, Double]:
    """Cosine and sine of 2 pi x, for x from 0 to 1."""
    quarters = np.rint(x * 4)
    return _wave(quarters, (x * 4 - quarters) * (np.pi / 2))


def _wave(quarters: Double, angle: Double) -> tuple[Double, Double]:
    """Cosine and sine of so many quarter turns and a small angle."""
    square = angle * angle
    cosine, sine = np.full_like(angle, COSINE[-1]), np.full_like(angle, SINE[-1])
    for even, odd in zip(COSINE[-2::-1], SINE[-2::-1], strict=True):
        cosine *= square
        cosine += even
        sine *= square
        sine += odd
    sine *= angle
    which = quarters.astype(np.int64) & 3
    return np.choose(which, [cosine, -sine, -cosine, sine]), np.choose(
        which, [sine, cosine, -sine, -cosine]
    )


def wave64(x: Double) -> tuple[Double, Double]:
    """Cosine and sine of x, which must be below 10^6 in size; NaN elsewhere."""
    quarters = np.rint(np.where(np.abs(x) < 1e6, x, np.nan) * (2 / np.pi))
    rest = ((x - quarters * HALF_PI[0]) - quarters * HALF_PI[1]) - quarters * HALF_PI[2]
    return _wave(np.where(np.isnan(quarters), 0.0, quarters), rest)
