"""Runs with evaluations made up for a test, as `measure` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from afl_sim.recording import Run


def run_of(
    scenario: dict[str, Any],
    accuracy: Sequence[float],
    *,
    loss: Sequence[float] = (),
    class_accuracy: Sequence[Sequence[float]] = (),
    label_counts: Sequence[Sequence[int]] = (),
    seconds: float = 1.0,
) -> Run:
    """A run of a scenario with one evaluation after each version, ``seconds`` apart."""
    run = Run(Path("nowhere"), "made-up", "made-up", scenario, {"status": "complete"}, {})
    versions = range(len(accuracy))
    run.__dict__["metrics"] = pd.DataFrame(
        {
            "time_us": [int(version * seconds * 1e6) for version in versions],
            "version": list(versions),
            "accuracy": list(accuracy),
            "loss": list(loss) or [1.0] * len(accuracy),
            "class_accuracy": list(class_accuracy) or [[]] * len(accuracy),
        }
    )
    run.__dict__["label_counts"] = pd.DataFrame(label_counts)
    return run
