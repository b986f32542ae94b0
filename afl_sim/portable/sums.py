"""Sums in a fixed order."""

from __future__ import annotations

import math

import numpy as np

from afl_sim.portable.blas import Array32

_COLUMNS = 4096


def squared_norm(vector: Array32) -> float:
    """The sum of the squares of a float32 vector, in double precision.

    The order of the additions is ours: those of NumPy's sums along a row are its own affair.
    """
    whole = len(vector) - len(vector) % _COLUMNS
    squares = np.multiply(vector, vector, dtype=np.float64)
    rows = squares[:whole].reshape(-1, _COLUMNS)
    columns = np.add.reduce(rows, axis=0) if len(rows) else np.zeros(0)
    return math.fsum(columns.tolist()) + math.fsum(squares[whole:].tolist())
