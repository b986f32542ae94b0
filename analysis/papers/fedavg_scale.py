"""Which scale of pixels FedAvg's Table 1 (McMahan et al., 2017) was made with: cells that decide.

The scale [-0.5, 0.5] was chosen with six cells of that table in view. The cells here were not
looked at then. The rule was written before they were run; it and its power are in
``scenarios/papers/fedavg/README.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

FURTHER: Final = {
    "shards-B10-C0": "C=0 (one client), non-IID, B=10",
    "shards-B10-C0.2": "C=.2, non-IID, B=10",
    "shards-B10-C0.5": "C=.5, non-IID, B=10",
    "iid-Binf-C0": "C=0 (one client), IID, B=inf",
    "iid-Binf-C0.1": "C=.1, IID, B=inf",
    "iid-Binf-C0.2": "C=.2, IID, B=inf",
    "shards-Binf-C0": "C=0 (one client), non-IID, B=inf",
    "shards-Binf-C0.1": "C=.1, non-IID, B=inf",
    "shards-Binf-C0.2": "C=.2, non-IID, B=inf",
    "shards-B10-C1": "C=1, non-IID, B=10",
}
"""Rows of the further cells, by label."""
DECIDING: Final = {
    "C=0 (one client), non-IID, B=10": 3275,
    "C=.2, non-IID, B=10": 619,
    "C=.5, non-IID, B=10": 443,
    "C=0 (one client), IID, B=inf": 1455,
    "C=.1, IID, B=inf": 1474,
    "C=.2, IID, B=inf": 1658,
    "C=0 (one client), non-IID, B=inf": 4278,
    "C=.1, non-IID, B=inf": 1796,
}
"""The reported rounds of the cells that decide."""
TOLERANCE: Final = 0.4
WITHIN_AT_LEAST: Final = 5
NEARER_AT_LEAST: Final = 7

Cells = Mapping[str, Sequence[float | None]]
"""The rounds of each seed, by row; None where 97 % was not reached."""


def confirmed(centred: Cells, unit: Cells) -> list[bool]:
    """Whether the cells confirm [-0.5, 0.5] (``centred``) and not [0, 1] (``unit``).

    Returns:
        One truth, of one seed of each cell; none while a cell that decides is missing.
    """
    if any(row not in cells for cells in (centred, unit) for row in DECIDING):
        return []
    within = [
        sum(distance(cells[row][0], reported) <= TOLERANCE for row, reported in DECIDING.items())
        for cells in (centred, unit)
    ]
    nearer = sum(
        log_distance(centred[row][0], reported) < log_distance(unit[row][0], reported)
        for row, reported in DECIDING.items()
    )
    return [within[0] >= WITHIN_AT_LEAST and within[1] < within[0] and nearer >= NEARER_AT_LEAST]


def distance(measured: float | None, reported: float) -> float:
    """The relative difference; infinite where nothing was reached."""
    return math.inf if measured is None else abs(measured - reported) / reported


def log_distance(measured: float | None, reported: float) -> float:
    """The absolute logarithm of the ratio; infinite where nothing was reached."""
    return math.inf if measured is None else abs(math.log(measured / reported))
