"""Ringleader's target: its delays, and what is measured of small and made-up runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from afl_sim import simulate
from afl_sim.analysis.papers import ringleader
from afl_sim.analysis.papers.dead_units import dead_units
from afl_sim.papers.target import find_target
from afl_sim.recording import Run
from afl_sim.run.validation import check_study
from afl_sim.streams import Streams

LR = {"ringleader": 0.05, "malenia": 0.7, "ia2sgd": 0.01}


def trained(kind: str, norms: list[float], lr: float | None = None, alive: int = 2) -> Any:
    """A run evaluated at the start and at the end of each fifth, with ``alive`` of two units."""
    metrics = pd.DataFrame(
        {"time_us": range(0, 1000 * len(norms), 1000), "squared_gradient_norm": norms}
    )
    summary = {"final": {"accuracy": 0.5, "loss": 1.5}}
    bias = np.where(np.arange(2) < alive, 1.0, -1.0)
    model = {"1.weight": np.zeros((2, 784)), "1.bias": bias, "3.weight": np.ones((10, 2))}
    return SimpleNamespace(
        metrics=metrics,
        scenario={"seed": 1, "strategy": {"kind": kind, "lr": lr or LR[kind]}},
        summary=summary,
        model=lambda: model,
    )


def test_quarters_are_geometric_means_without_the_start() -> None:
    run = trained("ringleader", [7.0, 1.0, 4.0, 9.0, 9.0, 2.0, 8.0, 3.0, 3.0])
    assert ringleader.quarters(run) == pytest.approx([2.0, 9.0, 4.0, 3.0])
    assert np.isnan(ringleader.quarters(trained("ringleader", [7.0, 1.0, 4.0]))).tolist() == [
        *(True, False, True, False),
    ]


def test_ringleader_is_below_where_its_last_quarter_is() -> None:
    norms = {"ringleader": 2.0, "malenia": 3.0, "ia2sgd": 1.0}
    runs = [trained(kind, [9.0, 5.0, 5.0, 5.0, last]) for kind, last in norms.items()]
    runs.append(trained("ringleader", [9.0, 5.0, 5.0, 5.0, 0.5], lr=0.005))
    found = ringleader.measure({"convergence": runs[:3], "alive": runs[3:], "tenth": runs[:3]})
    assert found["published_below_malenia"] == [True]
    assert found["published_below_ia2sgd"] == [False]
    assert found["below_malenia"] == found["below_ia2sgd"] == [True]
    assert found["tenth_published_below_malenia"] == [True]
    assert found["tenth_below_malenia"] == []
    assert found["squared_gradient_norm"]["Malenia, 0.7, last quarter"] == pytest.approx([3.0])
    assert found["loss"]["IA2SGD, 0.01"] == [1.5]
    assert found["steps_per_unit"]["malenia"] == found["delays_bounded"] == []


def test_a_unit_that_no_image_activates_is_dead() -> None:
    norms = [9.0, 5.0, 5.0, 5.0, 2.0]
    assert [dead_units(trained("malenia", norms, alive=k)) for k in range(3)] == [
        *(100.0, 50.0, 0.0),
    ]
    runs = [trained(kind, norms, alive=2 if kind == "malenia" else 1) for kind in LR]
    assert ringleader.measure({"convergence": runs})["published_alive"] == [False]
    assert ringleader.measure({"convergence": [trained(kind, norms) for kind in LR]})[
        "published_alive"
    ] == [True]


def test_a_unit_that_one_image_activates_is_alive() -> None:
    run = trained("malenia", [9.0, 5.0, 5.0, 5.0, 2.0], alive=0)
    model = run.model()
    model["1.weight"][0, 14 * 28 + 14] = 2.0  # white in some digits: (1 - .1307) / .3081 = 2.8
    assert dead_units(run) == 50.0


def test_every_setting_has_its_rows() -> None:
    target = find_target("ringleader")
    rows = set(target.tables["accuracy"].rows)
    assert rows == set(ringleader.PUBLISHED) | set(ringleader.ALIVE)
    for names, studies in ((rows, ["convergence", "alive"]), (rows, ["tenth"])):
        found = set()
        for name in studies:
            for case in check_study(target.file(name), target.settings_at("full", name)).cases:
                found.add(ringleader.setting_of(run_like(case.scenario)))
        assert found == names


def run_like(scenario: Any) -> Any:
    """A run with nothing but its scenario."""
    return SimpleNamespace(scenario=scenario.model_dump(mode="json", by_alias=True))


@pytest.fixture(scope="module")
def schedules() -> list[Run]:
    """The three methods on the target's fleet, for 1,500 time units and without training."""
    settings = ["replications=1", "stop.virtual_seconds=1500"]
    study = check_study(find_target("ringleader").file("schedule"), settings, timing_only=True)
    return [simulate(case.scenario, timing_only=True) for case in study.cases]


def test_delays_are_bounded_and_malenia_waits_for_the_slowest(schedules: list[Run]) -> None:
    found = ringleader.measure({"schedule": schedules})
    assert found["delays_bounded"] == [True]
    steps = {method: values[0] for method, values in found["steps_per_unit"].items()}
    # Malenia's round lasts as long as the slowest of 100, whose delays alone go up to 100.
    assert steps["malenia"] < 1 / 100
    assert steps["ringleader"] > 10 * steps["malenia"]
    # Once everybody has sent one, each arrival is a step of IA2SGD.
    ia2sgd = next(run for run in schedules if run.scenario["strategy"]["kind"] == "ia2sgd")
    steps_of = ia2sgd.events[ia2sgd.events["kind"] == "aggregated"].groupby("version").size()
    assert (steps_of.iloc[1:] == 1).all()


def test_a_gradient_takes_at_least_its_clients_share_of_the_hundred(schedules: list[Run]) -> None:
    run = schedules[0]
    order = (
        Streams(run.scenario["seed"])
        .generator("shuffle.clients.compute.seconds_per_task")
        .permutation(100)
    )
    tasks = run.tasks[run.tasks["computed"].notna()]
    spent = (tasks["computed"] - tasks["dispatched"]).astype("float64") / 1e6
    extra = spent - (order[tasks["client"].astype(int)] + 1)
    assert (extra >= -1e-6).all()
    # |N(0, s^2)| / s has mean sqrt(2 / pi) and standard deviation 0.603; s^2 is i + 1.
    scaled = extra / np.sqrt(tasks["client"].astype(int) + 1)
    assert scaled.mean() == pytest.approx(np.sqrt(2 / np.pi), abs=4 * 0.603 / np.sqrt(len(tasks)))
