"""A client selection: a pure function. Its last parameter is a key in the scenario."""

from __future__ import annotations

import numpy as np

from afl_sim import Candidates


def rested(
    n: int, candidates: Candidates, draws: np.random.Generator, *, greed: float = 1.0
) -> np.ndarray:
    """Clients that were chosen seldom, and hold many samples."""
    often = candidates.chosen / max(1, candidates.chosen.max())
    many = candidates.samples / candidates.samples.max()
    key = often - greed * many + 1e-6 * draws.random(len(candidates))  # equal ones at random
    return candidates.clients[np.argsort(key)[:n]]
