"""Ringmaster ASGD (Maranjyan, Tyurin, Richtarik, 2025): schedules and learning on 6174 workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from afl_sim.analysis.papers.dead_units import dead_units
from afl_sim.analysis.papers.gradient import gradient_norms
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from afl_sim.analysis.papers.reported import Target

METHODS: Final = {
    "ringmaster": "ringmaster",
    "rennala": "rennala",
    "delay-adaptive": "delay_adaptive",
}
"""Rows of the tables, and the strategies that they are of."""


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """The tables and claims of target.yaml, from the studies ``schedule`` and ``convergence``."""
    schedule = {method: _of(method, studies.get("schedule", ())) for method in METHODS}
    losses = {
        method: [lowest_loss(run) for run in _of(method, studies.get("convergence", ()))]
        for method in METHODS
    }
    return {
        "steps": {m: [float(r.summary["versions"]) for r in runs] for m, runs in schedule.items()},
        "mean_delay": {
            m: [r.summary["staleness"]["mean"] for r in runs] for m, runs in schedule.items()
        },
        "lowest_loss": losses,
        **_with_authors_settings(studies.get("authors", ())),
        "delays_bounded": [
            ringmaster.summary["staleness"]["max"]
            < ringmaster.scenario["strategy"]["delay_threshold"]
            and rennala.summary["staleness"]["max"] == 0
            for ringmaster, rennala in zip(schedule["ringmaster"], schedule["rennala"], strict=True)
        ],
        "ringmaster_lowest": [
            ours < min(others)
            for ours, *others in zip(*(losses[method] for method in METHODS), strict=True)
        ],
    }


def _with_authors_settings(runs: Sequence[Run]) -> dict[str, Any]:
    """What is known of runs at their end, by method."""
    of = {method: _of(method, runs) for method in METHODS}
    return {
        "authors_steps": {m: [float(r.summary["versions"]) for r in of[m]] for m in METHODS},
        "authors_norm": {
            m: [float(r.metrics["squared_gradient_norm"].iloc[-1]) for r in of[m]] for m in METHODS
        },
        "authors_loss": {m: [float(r.metrics["loss"].iloc[-1]) for r in of[m]] for m in METHODS},
        "authors_dead_units": {m: [dead_units(r) for r in of[m]] for m in METHODS},
    }


def lowest_loss(run: Run) -> float:
    """The lowest of the run's evaluations."""
    return float(run.metrics["loss"].min())


def draw(studies: Mapping[str, Sequence[Run]], target: Target) -> Figure:
    """Medians and quartiles over seeds; the paper's curves are figures without numbers."""
    return gradient_norms(studies.get("convergence", ()))


def _of(method: str, runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.scenario["strategy"]["kind"] == METHODS[method]]
