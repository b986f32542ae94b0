"""Ringleader ASGD (Maranjyan, Richtarik, 2026): squared gradient norm against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from afl_sim.analysis.papers.gradient import gradient_norms
from afl_sim.analysis.papers.reaching import accuracy_at_end
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from afl_sim.analysis.papers.reported import Target

METHODS: Final = ("ringleader", "malenia", "ia2sgd")
QUARTERS: Final = ("first", "second", "third", "last")


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """The tables and claims of target.yaml."""
    schedule, trained, tenth = (
        {method: _of(method, studies.get(study, ())) for method in METHODS}
        for study in ("schedule", "convergence", "tenth")
    )
    norms = {
        method: np.array([quarters(run) for run in runs]).reshape(-1, 4)
        for method, runs in trained.items()
    }
    last = {method: values[:, -1] for method, values in norms.items()}
    return {
        "squared_gradient_norm": {
            f"{method}, {name} quarter": [
                None if np.isnan(x) else x for x in norms[method][:, i].tolist()
            ]
            for i, name in enumerate(QUARTERS)
            for method in METHODS
        },
        "accuracy": {method: list(map(accuracy_at_end, runs)) for method, runs in trained.items()},
        "last_quarter_with_other_steps": {
            step_of(run): [quarters(run)[-1]] for run in studies.get("steps", ())
        },
        "accuracy_with_other_steps": {
            step_of(run): [accuracy_at_end(run)] for run in studies.get("steps", ())
        },
        "tenth_last_quarter": {
            method: [quarters(run)[-1] for run in runs] for method, runs in tenth.items()
        },
        "tenth_accuracy": {
            method: list(map(accuracy_at_end, runs)) for method, runs in tenth.items()
        },
        "steps_per_unit": {
            method: list(map(steps_per_unit, runs)) for method, runs in schedule.items()
        },
        "below_malenia": (last["ringleader"] < last["malenia"]).tolist(),
        "below_ia2sgd": (last["ringleader"] < last["ia2sgd"]).tolist(),
        "delays_bounded": [
            run.summary["staleness"]["max"] <= 2 * run.scenario["clients"]["count"] - 2
            for run in schedule["ringleader"]
        ],
    }


def quarters(run: Run) -> list[float]:
    """The geometric mean of the squared gradient norm over each quarter of the run.

    The evaluation at the start is left out. NaN for a quarter without any.
    """
    rows = run.metrics[run.metrics["time_us"] > 0]
    place = np.ceil(4 * rows["time_us"] / rows["time_us"].iloc[-1]) - 1
    logs = np.log(rows["squared_gradient_norm"].to_numpy())
    parts = [logs[place == quarter] for quarter in range(4)]
    return [float(np.exp(part.mean())) if len(part) else float("nan") for part in parts]


def step_of(run: Run) -> str:
    """The row of a run with another step size."""
    method, _, step = run.label.partition("-")
    return f"{method}, {step}"


def steps_per_unit(run: Run) -> float:
    """Versions that the server makes in a time unit."""
    return float(run.summary["versions"] / run.summary["virtual_seconds"])


def draw(studies: Mapping[str, Sequence[Run]], target: Target) -> Figure:
    """Medians and quartiles over seeds; the paper's curves are figures without numbers."""
    return gradient_norms(studies.get("convergence", ()))


def _of(method: str, runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.scenario["strategy"]["kind"] == method]
