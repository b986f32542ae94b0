"""A metric: a pure function of arrays. Its last parameter is a key in the scenario."""

from __future__ import annotations

import numpy as np


def confident(outputs: np.ndarray, labels: np.ndarray, *, margin: float = 1.0) -> float:
    """Share of right answers that lead the second best by a margin."""
    ordered = np.sort(outputs, axis=1)
    lead = ordered[:, -1] - ordered[:, -2]
    return ((outputs.argmax(axis=1) == labels) & (lead >= margin)).mean()
