"""FLANP: its schedule to the unit, and what the analysis measures of runs that trained."""

from __future__ import annotations

from pathlib import Path

from synthetic import run_of

from afl_sim.analysis.papers.flanp import draw, measure
from afl_sim.papers.judging import borne, judged
from afl_sim.papers.reproducing import Asked, reproduce
from afl_sim.papers.target import find_target
from afl_sim.recording import Run
from afl_sim.run.api import read_study

TARGET = find_target("flanp")


def test_round_lengths_and_doubling_are_those_of_the_speeds(tmp_path: Path) -> None:
    results, _ = reproduce(TARGET, Asked("small", tmp_path, only=["timing"]))
    rows = [row for row in judged(TARGET, results) if row.quantity in ("seconds", "stage_rounds")]
    assert len(rows) == 9
    assert all(row.within for row in rows), rows
    assert [(claim.holds, claim.n) for claim in borne(TARGET, results) if claim.n] == [(1, 1)]


def test_what_the_target_expects_follows_from_the_scenarios_speeds() -> None:
    scenario = read_study(TARGET.file("timing")).cases[0].scenario
    speeds = scenario.model_dump(mode="json")["clients"]["compute"]["seconds_per_task"]["values"]
    assert speeds == sorted(speeds)
    assert (len(speeds), speeds[0], speeds[-1]) == (20, 50, 500)
    stages = {"1": 10, "2": 10, "4": 10, "8": 10, "16": 10, "20": 12}
    rows = TARGET.tables["stage_rounds"].rows
    assert {row: block.reported for row, block in rows.items()} == {
        active: speeds[int(active) - 1] for active in stages
    }
    total = sum(rounds * speeds[int(active) - 1] for active, rounds in stages.items())
    assert TARGET.tables["seconds"].rows["FLANP"].reported == total
    assert TARGET.tables["seconds"].rows["FedAvg"].reported == 62 * 500


def made_up(name: str, seed: int, seconds: float, accuracy: list[float]) -> Run:
    strategy = {"kind": "fedavg"}
    if name != "FedAvg":
        strategy = {"kind": "flanp", "initial_clients": 1 if name == "FLANP" else 20}
    return run_of(
        {"seed": seed, "strategy": strategy, "clients": {"count": 20}}, accuracy, seconds=seconds
    )


def test_times_and_rounds_are_those_of_the_first_evaluation_that_reaches_the_accuracy() -> None:
    runs = []
    for seed, slow in ((2, 0.79), (1, 0.85)):
        runs += [
            made_up("FLANP", seed, 10, [0.1, 0.6, 0.75, slow]),
            made_up("FedGATE", seed, 50, [0.1, 0.6, 0.81, 0.8]),
            made_up("FedAvg", seed, 50, [0.1, 0.2, 0.3, 0.4]),
        ]
    found = measure({"rounds": runs})
    assert found["time_to_80"] == {
        "FLANP": [30.0, None],
        "FedGATE": [100.0, 100.0],
        "FedAvg": [None, None],
    }
    assert found["time_to_70"]["FLANP"] == [20.0, 20.0]  # type: ignore[call-overload]
    assert found["rounds_to_80"]["FLANP"] == [3.0, None]  # type: ignore[call-overload]
    assert found["flanp_first"] == [True, False]
    assert found["not_by_rounds"] == [True, True]
    assert found["flanp_first_70"] == [True, True]  # FedGATE: 100 units
    assert found["not_by_rounds_70"] == [True, True]  # two rounds each


def test_without_training_the_figure_shows_the_lengths_of_rounds(tmp_path: Path) -> None:
    results, written = reproduce(TARGET, Asked("small", tmp_path, only=["timing"]))
    assert any(path.suffix == ".png" for path in written)
    assert callable(draw)
    assert "rounds" in results.not_run or "rounds" not in results.studies
