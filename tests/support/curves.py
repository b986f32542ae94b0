"""Runs that have evaluations and nothing else, for what reads curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from afl_sim.recording import Run


def curve(
    label: str,
    accuracies: Sequence[float],
    *,
    seed: int = 1,
    every: int = 1,
    setting: Any = None,
    **summary: Any,
) -> Run:
    """A run that was evaluated every so many versions, a version being a second and ten updates.

    Args:
        label: as in a study; replications end in ``-r0``, ``-r1``, ...
        accuracies: of the evaluations, the first at version 0.
        setting: what tells it from runs of other settings; by default the label without its seed.
        summary: further entries of the summary.
    """
    versions = [every * i for i in range(len(accuracies))]
    targets = {
        str(goal): next(
            (float(v) for v, a in zip(versions, accuracies, strict=True) if a >= goal), None
        )
        for goal in (0.8, 0.9, 0.95)
    }
    run = Run(
        Path(f"/nowhere/{label}-{seed}"),
        "curve",
        label,
        {"seed": seed, "setting": setting or label.split("-r")[0]},
        {
            "status": "complete",
            "final": {"accuracy": accuracies[-1], "loss": 0.1},
            "time_to_accuracy": targets,
            **summary,
        },
        {},
    )
    run.__dict__["metrics"] = pd.DataFrame(
        {
            "time_us": [v * 1_000_000 for v in versions],
            "version": versions,
            "updates": [10 * v for v in versions],
            "samples": [1000 * v for v in versions],
            "accuracy": accuracies,
            "loss": [0.1] * len(versions),
        }
    )
    return run
