"""Ringleader ASGD (Maranjyan, Richtarik, 2026): squared gradient norm against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from afl_sim.analysis.papers.dead_units import dead_units
from afl_sim.analysis.papers.gradient import gradient_norms
from afl_sim.analysis.papers.reaching import accuracy_at_end
from afl_sim.analysis.replications import seed
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from afl_sim.analysis.papers.reported import Target

METHODS: Final = {"ringleader": "Ringleader", "malenia": "Malenia", "ia2sgd": "IA2SGD"}
QUARTERS: Final = ("first", "second", "third", "last")
PUBLISHED: Final = ("Ringleader, 0.05", "Malenia, 0.7", "IA2SGD, 0.01")
ALIVE: Final = ("Ringleader, 0.005", *PUBLISHED[1:])
DEAD: Final = 10.0  # percent of the units; a network with fewer has not died


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """The tables and claims of target.yaml."""
    schedule = {
        method: [r for r in studies.get("schedule", ()) if r.scenario["strategy"]["kind"] == method]
        for method in METHODS
    }
    whole = [*studies.get("convergence", ()), *studies.get("alive", ())]
    return {
        **_learning(whole),
        **{f"tenth_{name}": each for name, each in _learning(studies.get("tenth", ())).items()},
        "steps_per_unit": {
            method: list(map(steps_per_unit, runs)) for method, runs in schedule.items()
        },
        "delays_bounded": [
            run.summary["staleness"]["max"] <= 2 * run.scenario["clients"]["count"] - 2
            for run in schedule["ringleader"]
        ],
    }


def _learning(runs: Sequence[Run]) -> dict[str, Any]:
    """Norms, accuracies, losses and dead units of runs, and the claims on them."""
    trained: dict[str, list[Run]] = {}
    for run in sorted(runs, key=seed):
        trained.setdefault(setting_of(run), []).append(run)
    norms = {name: [quarters(run) for run in found] for name, found in trained.items()}
    dead = {name: [dead_units(run) for run in found] for name, found in trained.items()}
    last = {name: [values[-1] for values in found] for name, found in norms.items()}
    return {
        "squared_gradient_norm": {
            f"{name}, {quarter} quarter": [
                None if np.isnan(values[i]) else values[i] for values in found
            ]
            for i, quarter in enumerate(QUARTERS)
            for name, found in norms.items()
        },
        "accuracy": {name: list(map(accuracy_at_end, found)) for name, found in trained.items()},
        "loss": {
            name: [run.summary["final"]["loss"] for run in found] for name, found in trained.items()
        },
        "dead_units": dead,
        "published_below_malenia": _below(last, PUBLISHED[0], PUBLISHED[1]),
        "published_below_ia2sgd": _below(last, PUBLISHED[0], PUBLISHED[2]),
        "published_alive": _alive(dead, PUBLISHED),
        "alive": _alive(dead, ALIVE),
        "below_malenia": _below(last, ALIVE[0], ALIVE[1]),
        "below_ia2sgd": _below(last, ALIVE[0], ALIVE[2]),
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


def setting_of(run: Run) -> str:
    """A run's method and its step size."""
    strategy = run.scenario["strategy"]
    return f"{METHODS[strategy['kind']]}, {strategy['lr']:g}"


def steps_per_unit(run: Run) -> float:
    """Versions that the server makes in a time unit."""
    return float(run.summary["versions"] / run.summary["virtual_seconds"])


def draw(studies: Mapping[str, Sequence[Run]], target: Target) -> Figure:
    """Medians and quartiles over seeds; the paper's curves are figures without numbers."""
    whole = [*studies.get("convergence", ()), *studies.get("alive", ())]
    return gradient_norms(whole or studies.get("tenth", ()))


def _below(last: Mapping[str, Sequence[float]], one: str, other: str) -> list[bool]:
    """In which replications one setting's norm over the last quarter is below another's."""
    return [a < b for a, b in zip(last.get(one, ()), last.get(other, ()), strict=False)]


def _alive(dead: Mapping[str, Sequence[float]], names: Sequence[str]) -> list[bool]:
    """In which replications none of these settings has a dead network."""
    shares = zip(*(dead.get(name, ()) for name in names), strict=False)
    return [max(found) < DEAD for found in shares]
