"""A run that is repeated, broken off or spread over workers leaves the same bytes in its files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from places import SMALLEST

from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.scenario import Scenario

WORKERS = {1: (), 2: ("execution.executor=processes", "execution.workers=2")}
FILES = {
    "events.parquet",
    "metrics.parquet",
    "model.safetensors",
    "partition.parquet",
    "scenario.yaml",
    "summary.json",
    "trace.json",
}


def small(*more: str) -> Scenario:
    settings = ("evaluation.samples=100", "evaluation.every_seconds=1", "stop.updates=40")
    strategy = "strategy={kind: fedasync, concurrency: 4}"
    return load_scenario(SMALLEST, [strategy, *settings, *more])


def run_and_break_off(scenario: Scenario, folder: Path, versions: int) -> None:
    """Run until some versions are made, then leave what a process that is killed leaves."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == versions

    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, folder, stop_wanted=stop)
    for name in FILES - {"scenario.yaml", "partition.parquet"}:
        (folder / name).unlink(missing_ok=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the manifest, and the summary without ``wall_seconds``."""
    found = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del found["manifest.json"]
    summary = json.loads(found["summary.json"])
    assert summary.pop("wall_seconds")["total"] > 0
    found["summary.json"] = json.dumps(summary).encode()
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(small(), tmp_path_factory.mktemp("undisturbed") / "run").path


@pytest.mark.parametrize("workers", WORKERS)
def test_a_run_that_was_broken_off_leaves_the_files_of_one_that_was_not(
    workers: int, undisturbed: Path, tmp_path: Path
) -> None:
    # As many checkpoints as versions: none of them may show in a file.
    scenario = small("execution.checkpoint_versions=1", *WORKERS[workers])
    run_and_break_off(scenario, tmp_path / "run", 20)
    found = contents(resume(tmp_path / "run").path)
    expected = contents(undisturbed)
    assert set(found) == FILES
    own, other = (files.pop("scenario.yaml").decode() for files in (found, expected))
    assert own.partition("execution:")[0] == other.partition("execution:")[0]
    assert [name for name in FILES - {"scenario.yaml"} if found[name] != expected[name]] == []


def test_a_run_that_is_repeated_leaves_the_same_files(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "kept")
    assert contents(simulate(small(), tmp_path / "run").path) == contents(tmp_path / "kept")
