"""Ringmaster's target: its schedules on fewer workers, and what is measured of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from afl_sim import simulate
from afl_sim.analysis.papers import ringmaster
from afl_sim.papers.target import find_target
from afl_sim.run.validation import check_study


def test_the_workers_are_those_of_the_paper() -> None:
    rows = pd.read_csv(Path(find_target("ringmaster").folder) / "clients.csv")
    i = np.arange(6174)
    np.testing.assert_allclose(rows["delay"], 1 + np.sqrt(i), atol=5e-5)
    np.testing.assert_allclose(rows["noise"], i + 1)
    np.testing.assert_allclose(rows["sqrt_noise"], np.sqrt(i + 1), atol=5e-5)


def test_delays_are_bounded_and_ringmaster_makes_more_steps_than_rennala() -> None:
    settings = ["replications=1", "stop.virtual_seconds=40"]
    study = check_study(find_target("ringmaster").file("schedule"), settings, timing_only=True)
    runs = [simulate(case.scenario, timing_only=True) for case in study.cases]
    found = ringmaster.measure({"schedule": runs})
    assert found["delays_bounded"] == [True]
    assert found["mean_delay"]["rennala"] == [0]
    steps = {method: values[0] for method, values in found["steps"].items()}
    assert steps["ringmaster"] > 2 * steps["rennala"] > 0
    assert found["lowest_loss"]["rennala"] == found["ringmaster_lowest"] == []


def test_the_lowest_loss_is_compared_seed_by_seed() -> None:
    def run(kind: str, *losses: float) -> Any:
        return SimpleNamespace(
            metrics=pd.DataFrame({"loss": losses}), scenario={"strategy": {"kind": kind}}
        )

    first = [run("ringmaster", 3, 1, 2), run("rennala", 3, 2), run("delay_adaptive", 3, 1.5)]
    second = [run("ringmaster", 3, 1.7), run("rennala", 3, 2), run("delay_adaptive", 3, 1.5)]
    found = ringmaster.measure({"convergence": [*first, *second]})
    assert found["lowest_loss"]["ringmaster"] == [1, 1.7]
    assert found["ringmaster_lowest"] == [True, False]


def test_the_authors_settings_are_measured_at_the_end() -> None:
    def run(kind: str, *losses: float) -> Any:
        norms = [2.0 * loss for loss in losses]
        return SimpleNamespace(
            metrics=pd.DataFrame({"loss": losses, "squared_gradient_norm": norms}),
            scenario={"strategy": {"kind": kind}},
            summary={"versions": 7},
            model=lambda: {"weight": np.zeros((4, 784)), "bias": np.array([1.0, -1, -1, -1])},
        )

    runs = [run(kind, 3, 1, 2) for kind in ("ringmaster", "rennala", "delay_adaptive")]
    found = ringmaster.measure({"authors": runs})
    target = find_target("ringmaster")
    for quantity, value in (("steps", 7), ("norm", 4), ("loss", 2), ("dead_units", 75)):
        rows = found[f"authors_{quantity}"]
        assert rows == {row: [value] for row in target.tables[f"authors_{quantity}"].rows}
