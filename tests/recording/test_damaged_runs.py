"""A run folder that has lost a file, or a part of one, is made whole or refused in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from places import SMALLEST

from afl_sim.errors import AflSimError
from afl_sim.recording import Run, load_run
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.scenario import Case
from afl_sim.study.case import Options, run_case

SETTINGS = [
    "model=logistic",
    "training={steps: 1}",
    "stop.updates=12",
    "evaluation.samples=200",
    "execution.checkpoint_versions=1",
]
TABLES = ("events.parquet", "metrics.parquet", "partition.parquet")
BEFORE = ("scenario.yaml", "manifest.json", "summary.json", *TABLES, "trace.json")
CHECKPOINT = ("checkpoint/2/facts.json", "checkpoint/2/tensors.safetensors")
AFTER = (*BEFORE, "model.safetensors")

DAMAGES: dict[str, Callable[[Path], None]] = {
    "removed": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return simulate(load_scenario(SMALLEST, SETTINGS), tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("broken off") / "run"
    versions = iter((False, True))
    with pytest.raises(KeyboardInterrupt):
        simulate(load_scenario(SMALLEST, SETTINGS), place, stop_wanted=lambda: next(versions))
    return place


def assert_made_whole_or_refused(place: Path, name: str, whole: Run, may_refuse: bool) -> None:
    refused = ""
    try:
        run = resume(place)
    except AflSimError as error:
        refused = str(error)
    if refused:
        assert may_refuse, refused
        assert name.partition("/")[0] in refused
        assert "\n" not in refused
        return
    for key in ("status", "schedule_digest", "model_digest", "final"):
        assert run.summary[key] == whole.summary[key], key
    assert run.events.equals(whole.events)
    assert run.metrics["loss"].equals(whole.metrics["loss"])
    assert run.label_counts.equals(whole.label_counts)
    for name in (*TABLES, "trace.json", "scenario.yaml"):
        assert (place / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert run.model().keys() == whole.model().keys()
    left = {entry.name for entry in place.iterdir()}
    assert left == {entry.name for entry in whole.path.iterdir()}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_that_was_broken_off(
    damage: str, broken_off: Path, whole: Run, tmp_path: Path
) -> None:
    for name in (*BEFORE, *CHECKPOINT):
        place = shutil.copytree(broken_off, tmp_path / name.replace("/", "-"))
        DAMAGES[damage](place / name)
        may_refuse = name in {"scenario.yaml", "manifest.json"} or damage == "a folder"
        may_refuse |= name == "summary.json" and damage != "removed"
        assert_made_whole_or_refused(place, name, whole, may_refuse)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_that_is_finished(damage: str, whole: Run, tmp_path: Path) -> None:
    for name in AFTER:
        place = shutil.copytree(whole.path, tmp_path / name)
        DAMAGES[damage](place / name)
        may_refuse = damage == "a folder" or name not in {"partition.parquet", "trace.json"}
        assert_made_whole_or_refused(place, name, whole, may_refuse)


def test_a_damaged_checkpoint_is_told_of(broken_off: Path, tmp_path: Path) -> None:
    for damaged, said in (
        (1, "goes on from version 1"),
        (2, "the run starts again from the beginning"),
    ):
        place = shutil.copytree(broken_off, tmp_path / str(damaged))
        for number in sorted((place / "checkpoint").iterdir(), reverse=True)[:damaged]:
            (number / "facts.json").write_bytes(b"")
        notices: list[str] = []
        resume(place, notice=notices.append)
        assert len(notices) == 1
        assert f"{place / 'checkpoint' / '2'} is damaged" in notices[0]
        assert said in notices[0]


def test_what_a_kill_left_in_a_finished_run_goes_when_it_is_looked_for_again(
    whole: Run, broken_off: Path, tmp_path: Path
) -> None:
    case = Case("run", load_scenario(SMALLEST, SETTINGS))
    for again in (lambda place: resume(place), lambda place: run_case(case, place, Options())):
        place = shutil.copytree(whole.path, tmp_path / str(id(again)))
        shutil.copytree(broken_off / "checkpoint", place / "checkpoint")
        for name in (".lock", ".summary.json.afl-sim-0123456789ab.tmp"):
            (place / name).touch()
        again(place)
        left = {entry.name for entry in place.iterdir()}
        assert left == {entry.name for entry in whole.path.iterdir()}


@pytest.mark.parametrize("name", ["events.parquet", "summary.json", "manifest.json"])
def test_a_finished_run_that_is_damaged_is_not_reused_but_with_force_replaced(
    name: str, whole: Run, tmp_path: Path
) -> None:
    case = Case("run", load_scenario(SMALLEST, SETTINGS))
    place = shutil.copytree(whole.path, tmp_path / "run")
    (place / name).write_bytes(b"{")
    before = {path: path.read_bytes() for path in place.iterdir()}
    for options in (Options(), Options(resume=True)):
        with pytest.raises(AflSimError, match=f"{name} is damaged"):
            run_case(case, place, options)
    assert {path: path.read_bytes() for path in place.iterdir()} == before
    assert run_case(case, place, Options(force=True)).succeeded
    assert load_run(place).summary["model_digest"] == whole.summary["model_digest"]
