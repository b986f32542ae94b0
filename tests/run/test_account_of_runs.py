"""The account of a whole run: the same whether it trains, is resumed, or uses other processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import SMALLEST
from run_checks import every

from afl_sim.recording import Run
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.scenario import Scenario
from afl_sim.scenario.bundled import scenario_folder

COSTS = ("energy_joules", "price", "carbon_grams")


def counted(*more: str) -> Scenario:
    return load_scenario(
        SMALLEST,
        [
            "clients.power={compute: {dist: lognorm, s: 0.4, scale: 3}, download: 1, upload: 2, "
            "idle: 0.1}",
            "clients.price={per_task: 1}",
            "server.power=100",
            "carbon_intensity=300",
            "stop.updates=20",
            "evaluation={samples: 100, every_versions: 2, targets: [0.2, 0.99]}",
            *more,
        ],
    )


@pytest.fixture(scope="module")
def whole() -> Run:
    return simulate(counted())


def test_power_changes_no_schedule_and_no_model(whole: Run) -> None:
    plain = simulate(
        load_scenario(
            SMALLEST,
            [
                "stop.updates=20",
                "evaluation={samples: 100, every_versions: 2, targets: [0.2, 0.99]}",
            ],
        )
    )
    for key in ("schedule_digest", "model_digest", "final", "time_to_accuracy"):
        assert plain.summary[key] == whole.summary[key]
    assert not [key for key in plain.summary if key.startswith(COSTS)]
    assert not set(COSTS) & set(plain.metrics)


def test_evaluations_have_what_was_used_until_then(whole: Run) -> None:
    metrics, summary = whole.metrics, whole.summary
    for name in COSTS:
        assert metrics[name].is_monotonic_increasing
        assert metrics[name].iloc[-1] == summary[name]["total"]
        reached = metrics[name][metrics["accuracy"] >= 0.2]
        assert summary[f"{name}_to"]["accuracy"] == {"0.2": reached.iloc[0], "0.99": None}
    joules = summary["energy_joules"]
    assert summary["carbon_grams"]["total"] == pytest.approx(joules["total"] / 3.6e6 * 300)


def test_a_run_that_trains_nothing_uses_as_much(whole: Run) -> None:
    timing = simulate(counted(), timing_only=True)
    assert {name: timing.summary[name] for name in COSTS} == {
        name: whole.summary[name] for name in COSTS
    }


def test_a_resumed_run_uses_as_much(whole: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    scenario = counted()
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, folder, stop_wanted=every(3))
    resumed = resume(folder)
    for name in (*COSTS, *(f"{name}_to" for name in COSTS)):
        assert resumed.summary[name] == whole.summary[name]
    assert resumed.metrics.equals(whole.metrics)


UPLINKS = scenario_folder() / "traces" / "uplinks.csv"
EVERYTHING = (
    "clients.battery={capacity: 12, charging: 3, level: {dist: uniform, loc: 0.2, scale: 0.8}}",
    "clients.network.upload={latency: 0.1, loss: 0.2, bandwidth_trace: "
    f"{{trace: {UPLINKS}, random_start: true}}}}",
    "clients.faults={crash: 0.1}",
    "clients.groups=[{name: mains, share: 0.5, battery: null, carbon_intensity: 30}, "
    "{name: phones, share: 0.5, energy_per_byte: lte}]",
)


@pytest.mark.parametrize("timing_only", [False, True])
def test_a_resumed_run_with_batteries_has_the_same_schedule_and_account(
    tmp_path: Path, timing_only: bool
) -> None:
    hours = "".join(f"{n},{100 * n}\n" for n in range(1, 9))
    (tmp_path / "grid.csv").write_text(f"time,g_per_kwh\n{hours}")
    grid = f"carbon_intensity={tmp_path / 'grid.csv'}"
    scenario = counted(*EVERYTHING, grid, "execution.checkpoint_versions=1")
    whole = simulate(scenario, tmp_path / "whole", timing_only=timing_only)
    assert "unavailable" in set(whole.events["kind"])  # some battery was low
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, folder, timing_only=timing_only, stop_wanted=every(2))
    with pytest.raises(KeyboardInterrupt):
        resume(folder, stop_wanted=every(1))
    resumed = resume(folder)
    for key in ("schedule_digest", "model_digest", "updates", "virtual_seconds", *COSTS):
        assert resumed.summary[key] == whole.summary[key]
    for name in COSTS:
        assert resumed.summary[f"{name}_to"] == whole.summary[f"{name}_to"]
    assert resumed.metrics.equals(whole.metrics)
    assert resumed.events.equals(whole.events)


def test_a_run_stops_when_its_carbon_is_used_up(whole: Run) -> None:
    limit = whole.summary["carbon_grams"]["total"] / 2
    half = simulate(counted(f"stop.carbon_grams={limit}"), timing_only=True)
    assert half.summary["stopped_by"] == "carbon_grams"
    assert half.summary["carbon_grams"]["total"] >= limit
    assert half.summary["versions"] < whole.summary["versions"]
