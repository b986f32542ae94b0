"""The zoo scenario, its grid and the table in the documentation belong together."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from places import ROOT

from afl_sim.run.api import read_study, simulate
from afl_sim.strategies import strategies


@pytest.fixture(scope="module")
def zoo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("zoo", ROOT / "docs" / "zoo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_strategy_is_in_the_zoo(zoo: ModuleType) -> None:
    kinds = {settings["strategy"]["kind"] for settings in zoo.cases().values()}
    assert kinds == set(strategies())


def test_every_case_has_its_figures_and_its_row(zoo: ModuleType) -> None:
    figures = json.loads(zoo.FIGURES.read_text())
    assert list(figures) == list(zoo.cases())
    rows = [line for line in zoo.table().splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(figures)


@pytest.mark.parametrize("label", ["fedavg", "fedat", "safa", "favas", "ringmaster"])
def test_the_figures_are_what_the_schedule_gives(zoo: ModuleType, label: str) -> None:
    study = read_study(zoo.ZOO)
    (case,) = [case for case in study.cases if case.label == label]
    found = zoo.timing_of(simulate(case.scenario, timing_only=True).summary)
    kept = json.loads(zoo.FIGURES.read_text())[label]
    assert {key: kept[key] for key in found} == found


def test_the_grid_has_at_least_three_rates_for_each_case_that_makes_enough_versions(
    zoo: ModuleType,
) -> None:
    cases = read_study(zoo.GRID).cases
    rates = Counter(case.label.rpartition("-lr")[0] for case in cases)
    versions = {label: row["versions"] for label, row in zoo.figures().items()}
    assert set(rates) == {label for label in zoo.cases() if versions[label] >= 5}
    assert min(rates.values()) >= 3
    assert {case.scenario.evaluation.on for case in cases} == {"validation"}


def test_the_grid_searches_the_rate_that_decides(zoo: ModuleType) -> None:
    found = {case.label: case.scenario for case in read_study(zoo.GRID).cases}
    local = found["fedbuff-lr0.3"]
    assert local.training.optimizer.model_dump()["lr"] == 0.3
    gradient = found["rennala-lr1"]
    assert gradient.strategy.model_dump()["lr"] == 1.0
    assert gradient.training.optimizer.model_dump()["lr"] == 0.1
    assert found["fadas-lr0.03"].strategy.model_dump()["server_lr"] == 0.03
    yogi = found["fedavg-yogi-lr0.03"]
    assert yogi.strategy.model_dump()["server_optimizer"]["lr"] == 0.03


def test_grid_and_zoo_deal_out_the_same_data_and_end_at_the_same_time(zoo: ModuleType) -> None:
    of_grid, of_zoo = (read_study(file).cases[0].scenario for file in (zoo.GRID, zoo.ZOO))
    assert of_grid.data == of_zoo.data
    assert of_grid.stop.virtual_seconds == of_zoo.stop.virtual_seconds


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[SimpleNamespace]]:
    """Studies by name, as if they had been run."""
    found: dict[str, list[SimpleNamespace]] = {}
    monkeypatch.setattr("afl_sim.load_study", lambda path: found[Path(path).name])
    monkeypatch.setattr(
        "afl_sim.load_runs", lambda paths: [run for path in paths for run in found[path.name]]
    )
    return found


def finished(label: str, accuracy: float | None) -> SimpleNamespace:
    summary = {
        "versions": 5,
        "updates": {"aggregated": 100},
        "samples_trained": 60_000,
        "staleness": {"mean": 1.234, "max": 9},
        "idle_fraction": 0.12345,
        "final": {"accuracy": accuracy},
        "time_to_accuracy": {"0.8": 30.0, "0.9": 61.5},
    }
    return SimpleNamespace(path=Path(label), status="complete", summary=summary)


def test_trained_runs_add_their_accuracies_to_the_table(
    zoo: ModuleType,
    studies: dict[str, list[SimpleNamespace]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zoo, "FIGURES", tmp_path / "zoo.json")
    studies["timing"] = [finished("fedbuff", None), finished("fedavg", None)]
    studies["learned"] = [finished("fedbuff", 0.914)]
    zoo.keep([Path("timing")])
    assert "accuracy" not in zoo.table()
    zoo.keep([Path("learned")])
    rows = [line for line in zoo.table().splitlines() if line.startswith("| fed")]
    rate = f"{zoo.rate_used(zoo.cases()['fedbuff']):g}"
    assert rows == [  # in the order of the zoo
        "| fedavg | 5 | 100 | 60,000 | 1.2 | 9 | 12% | 0.1 |  |  |  |",
        f"| fedbuff | 5 | 100 | 60,000 | 1.2 | 9 | 12% | {rate} | 30 | 62 | 91.4% |",
    ]


def test_the_zoo_has_the_best_rates_of_the_grid(zoo: ModuleType) -> None:
    settings = zoo.cases()
    used = {label: zoo.rate_used(settings[label]) for label in zoo.best()}
    assert used == {label: float(rate) for label, rate in zoo.best().items()}


def test_every_point_of_the_grid_has_its_result(zoo: ModuleType) -> None:
    results = json.loads(zoo.GRID_RESULTS.read_text())
    kept = {f"{label}-lr{rate}" for label, row in results.items() for rate in row}
    assert kept == {case.label for case in read_study(zoo.GRID).cases}


def test_the_best_rate_of_the_grid_is_named(
    zoo: ModuleType,
    studies: dict[str, list[SimpleNamespace]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zoo, "GRID_RESULTS", tmp_path / "grid.json")
    grid = {
        "fedbuff-lr0.1": 0.8,
        "fedbuff-lr0.3": 0.9,
        "fedavg-yogi-lr0.01": 0.7,
        "fedavg-yogi-lr0.03": 0.7,
        "fedavg-yogi-lr0.1": 0.6,
    }
    studies["grid"] = [finished(label, accuracy) for label, accuracy in grid.items()]
    diverged = finished("fedbuff-lr1", 0.95)
    diverged.status = "diverged"
    studies["grid"].append(diverged)
    zoo.keep_grid([Path("grid")])
    assert json.loads(zoo.GRID_RESULTS.read_text())["fedbuff"] == {
        "0.1": 0.8,
        "0.3": 0.9,
        "1": None,
    }
    assert zoo.best() == {"fedbuff": "0.3", "fedavg-yogi": "0.01"}
