"""A run folder may come from a stranger: no link in it leads a command to another file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_runs import fake_run
from places import SMALLEST

from afl_sim.cli.results import compare, figures_folder, plot
from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.recording import RunFolder, save_checkpoint
from afl_sim.recording.drafts import Draft, draft_folder, remove_drafts
from afl_sim.recording.files import write_text
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.study.whole_runs import read_folder

LEFT = ".events.parquet.afl-sim-0123456789ab.tmp"


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted, with a checkpoint."""
    place = tmp_path_factory.mktemp("runs") / "run"
    settings = ["model=logistic", "stop.updates=8", "evaluation.samples=100"]
    with pytest.raises(KeyboardInterrupt):
        simulate(load_scenario(SMALLEST, settings), place, stop_wanted=lambda: True)
    return place


@pytest.fixture
def run(broken_off: Path, tmp_path: Path) -> Path:
    return shutil.copytree(broken_off, tmp_path / "run")


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A folder with a file of the user's, which nobody must touch."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("precious")
    yield folder
    assert [entry.name for entry in folder.iterdir()] == ["notes.txt"]
    assert (folder / "notes.txt").read_text() == "precious"


def test_resume_follows_no_link_in_the_place_of_a_file(run: Path, victim: Path) -> None:
    names = [
        *("events.parquet", "metrics.parquet", "summary.json", "manifest.json"),
        *("model.safetensors", "trace.json", "partition.parquet"),
    ]
    for name in names:
        (run / f"{name}.tmp").symlink_to(victim / "notes.txt")  # a name that could be guessed
        if name not in {"summary.json", "manifest.json"}:
            (run / name).unlink(missing_ok=True)
            (run / name).symlink_to(victim / "notes.txt")
    (run / LEFT).symlink_to(victim / "notes.txt")
    resume(run)
    assert not any((run / name).is_symlink() for name in names)
    assert (run / LEFT).is_symlink()  # no draft of ours


@pytest.mark.parametrize("name", ["checkpoint", "tensorboard"])
def test_resume_refuses_a_link_in_the_place_of_a_folder(name: str, run: Path, victim: Path) -> None:
    shutil.rmtree(run / name, ignore_errors=True)
    (run / name).symlink_to(victim)
    before = sorted(run.iterdir())
    with pytest.raises(RunFolderError, match=f"{name} is a symbolic link"):
        resume(run)
    assert sorted(run.iterdir()) == before


@pytest.mark.parametrize("there", [True, False])
def test_a_lock_that_is_a_link_is_refused(there: bool, run: Path, victim: Path) -> None:
    (run / ".lock").symlink_to(victim / ("notes.txt" if there else "new"))
    with (
        pytest.raises(RunFolderError, match=r"\.lock: a symbolic link is in its place"),
        RunFolder.open(run).locked(),
    ):
        pass


def test_a_lock_that_is_no_file_is_refused_at_once(run: Path) -> None:
    os.mkfifo(run / ".lock")
    with (
        pytest.raises(RunFolderError, match="a file with that name exists"),
        RunFolder.open(run).locked(),
    ):
        pass


def test_an_older_checkpoint_that_is_a_link_goes_and_what_it_leads_to_stays(
    tmp_path: Path, victim: Path
) -> None:
    for number in ("1", "4"):
        (tmp_path / "run" / number).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / number).symlink_to(victim)
    for number in (4, 5):
        save_checkpoint(tmp_path / "run", number, {"version": number}, {})
    entries = sorted((tmp_path / "run").iterdir())
    assert [entry.name for entry in entries] == ["4", "5"]
    assert not any(entry.is_symlink() for entry in entries)


def test_plot_and_compare_write_through_no_link(tmp_path: Path, victim: Path) -> None:
    run = fake_run(tmp_path / "run", updates=20).path
    for name in ("comparison.csv", "comparison.csv.tmp"):
        (run / name).symlink_to(victim / "notes.txt")
    compare([run], run)
    assert not (run / "comparison.csv").is_symlink()
    (run / "figures").symlink_to(victim)
    with pytest.raises(RunFolderError, match="figures is a symbolic link"):
        plot([run], ["staleness"])
    with pytest.raises(RunFolderError, match="figures is a symbolic link"):
        figures_folder(run)
    plot([run], ["staleness"], tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "staleness.png").exists()


def test_what_is_sent_to_another_machine_holds_no_linked_files(run: Path, victim: Path) -> None:
    (run / "notes.txt").symlink_to(victim / "notes.txt")
    (run / "more").symlink_to(victim)
    assert not [name for name in read_folder(run) if "notes" in name or "more" in name]


def test_a_file_is_written_under_a_name_that_nobody_can_guess(tmp_path: Path) -> None:
    drafts = [Draft(tmp_path / "a.json") for _ in range(3)]
    names = {entry.name for entry in tmp_path.iterdir()}
    assert len(names) == 3
    assert all(name.startswith(".a.json.afl-sim-") for name in names)
    for draft in drafts:
        draft.withdraw()
    assert not list(tmp_path.iterdir())


def test_a_name_as_long_as_may_be_is_written_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    write_text(path, "x")
    assert path.read_text() == "x"


def test_drafts_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    (tmp_path / LEFT).write_bytes(b"half")
    folder = tmp_path / ".run.afl-sim-0123456789ab.tmp"
    (folder / "inside").mkdir(parents=True)
    others = [".events.parquet.afl-sim-xyz.tmp", "events.parquet.tmp", ".other.tmp"]
    for name in others:
        (tmp_path / name).touch()
    draft = Draft(tmp_path / "events.parquet")
    with draft_folder(tmp_path / "run") as making:
        remove_drafts(tmp_path, "summary.json")
        assert (tmp_path / LEFT).exists()
        remove_drafts(tmp_path)
        left = {entry.name for entry in tmp_path.iterdir()}
        mine = left - set(others)
        assert len(mine) == 2
        assert making.name in mine
    draft.publish()
    assert {entry.name for entry in tmp_path.iterdir()} == {*others, "events.parquet"}


def test_the_next_write_of_a_file_removes_what_was_left_of_it(tmp_path: Path) -> None:
    (tmp_path / LEFT).touch()
    (tmp_path / LEFT.replace("events", "metrics")).touch()
    write_text(tmp_path / "events.parquet", "x")
    names = {entry.name for entry in tmp_path.iterdir()}
    assert names == {"events.parquet", LEFT.replace("events", "metrics")}


def test_a_run_is_not_written_into_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.parquet").mkdir()
    with pytest.raises(AflSimError, match=r"cannot write .*events\.parquet: it is a folder"):
        write_text(tmp_path / "run" / "events.parquet", "x")
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == ["events.parquet"]
