"""Ringleader's target: its delays, and what is measured of small and made-up runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from afl_sim import simulate
from afl_sim.analysis.papers import ringleader
from afl_sim.papers.target import find_target
from afl_sim.recording import Run
from afl_sim.run.validation import check_study
from afl_sim.streams import Streams


def trained(kind: str, norms: list[float], label: str = "") -> Any:
    """A run evaluated at the start and at the end of each fifth."""
    metrics = pd.DataFrame(
        {"time_us": range(0, 1000 * len(norms), 1000), "squared_gradient_norm": norms}
    )
    summary = {"final": {"accuracy": 0.5}}
    return SimpleNamespace(
        metrics=metrics, scenario={"strategy": {"kind": kind}}, summary=summary, label=label
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
    found = ringleader.measure({"convergence": runs})
    assert found["below_malenia"] == [True]
    assert found["below_ia2sgd"] == [False]
    assert found["squared_gradient_norm"]["malenia, last quarter"] == pytest.approx([3.0])
    assert found["steps_per_unit"]["malenia"] == found["delays_bounded"] == []


def test_every_other_step_has_its_rows() -> None:
    target = find_target("ringleader")
    study = check_study(target.file("steps"), target.settings_at("full", "steps"))
    runs = [
        trained(case.scenario.strategy.kind, [9.0, 5.0, 5.0, 5.0, 2.0], case.label)
        for case in study.cases
    ]
    found = ringleader.measure({"steps": runs})
    for quantity, value in (("last_quarter", 2.0), ("accuracy", 50.0)):
        rows = found[f"{quantity}_with_other_steps"]
        assert list(rows) == list(target.tables[f"{quantity}_with_other_steps"].rows)
        assert all(values == pytest.approx([value]) for values in rows.values())
    for case in study.cases:
        assert case.label.endswith(f"-{case.scenario.strategy.lr:g}")


def test_a_tenth_of_the_steps_has_rows_by_method() -> None:
    target = find_target("ringleader")
    study = check_study(target.file("tenth"), target.settings_at("full", "tenth"))
    published = check_study(target.file("convergence"), target.settings_at("full", "convergence"))
    for case in study.cases:
        (step,) = {
            other.scenario.strategy.lr
            for other in published.cases
            if other.scenario.strategy.kind == case.scenario.strategy.kind
        }
        assert case.scenario.strategy.lr == pytest.approx(step / 10)
    runs = [trained(case.scenario.strategy.kind, [9.0, 5.0, 5.0, 5.0, 2.0]) for case in study.cases]
    found = ringleader.measure({"tenth": runs})
    assert list(found["tenth_accuracy"]) == list(target.tables["tenth_accuracy"].rows)
    assert found["tenth_last_quarter"]["malenia"] == pytest.approx([2.0] * 3)
    assert found["squared_gradient_norm"]["malenia, last quarter"] == []


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
    # |N(0, s^2)| / s has mean sqrt(2 / pi) and standard deviation 0.603.
    scaled = extra / (tasks["client"].astype(int) + 1)
    assert scaled.mean() == pytest.approx(np.sqrt(2 / np.pi), abs=4 * 0.603 / np.sqrt(len(tasks)))
