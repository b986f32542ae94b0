"""Runs that follow each other in one process leave nothing behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import SMALLEST

from afl_sim import run_study, simulate
from afl_sim.learning.training.evaluation import Evaluator
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.recording import Run
from afl_sim.run import garbage
from afl_sim.run.api import read_study
from afl_sim.study.study import Options, run_cases
from afl_sim.world.world import World


@pytest.fixture(autouse=True)
def without_collections() -> Iterator[None]:
    """Python collects nothing by itself: what is gone was let go, or collected on purpose."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive(*kinds: type) -> int:
    """How many objects of these kinds there are."""
    return sum(isinstance(each, kinds) for each in gc.get_objects())


@pytest.mark.parametrize("mode", ["exact", "batched"])
def test_a_finished_run_keeps_no_model_and_no_samples(tmp_path: Path, mode: str) -> None:
    small = {
        "data": {"dataset": "mnist"},
        "model": "logistic",
        "clients": {"count": 2},
        "training": {"steps": 1},
        "strategy": {"kind": "fedasync", "concurrency": 1},
        "evaluation": {"samples": 10},
        "numerics": {"mode": mode},
        "stop": {"updates": 2},
    }
    before = alive(Evaluator, LocalTrainer)
    simulate(small, tmp_path / "run")
    assert alive(Evaluator, LocalTrainer) == before


def test_the_clocks_of_many_runs_do_not_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "_next", 0.0)
    monkeypatch.setattr(garbage, "_SHARE", 1e9)  # nothing was collected a short while ago
    before = alive(World)
    run_study(
        SMALLEST, tmp_path / "study", settings=["replications=4"], timing_only=True, workers=1
    )
    assert alive(World) <= before


def test_a_study_holds_the_outcomes_of_its_runs_and_not_the_runs(tmp_path: Path) -> None:
    before = alive(Run)
    study = read_study(SMALLEST, ["replications=3"], timing_only=True)
    options = Options(tmp_path / "study", timing_only=True)
    _, outcomes = run_cases(study, options, lambda case: None)
    assert alive(Run) == before
    runs = [outcome.opened() for outcome in outcomes]
    assert [run.status for run in runs if run is not None] == ["complete"] * 3


def test_collecting_takes_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, collected = [100.0], []

    def collect() -> None:
        collected.append(now[0])
        now[0] += 0.5

    monkeypatch.setattr(garbage, "perf_counter", lambda: now[0])
    monkeypatch.setattr(garbage, "_next", 0.0)
    monkeypatch.setattr(gc, "collect", collect)
    for _ in range(1000):  # runs of 0.1 s
        garbage.free_finished_runs()
        now[0] += 0.1
    spent = 0.5 * len(collected)
    assert 0.8 * garbage._SHARE < spent / (now[0] - 100.0) < 1.2 * garbage._SHARE
