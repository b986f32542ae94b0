"""Figures, reports and tables whose writing is broken off: old or new files, and never half of one.

Every file operation is the last one in turn: what follows it no longer happens, as after a kill or
a power cut.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_runs import fake_run
from file_operations import Cut, Files
from places import TESTS

from afl_sim import cli

COMMANDS = {
    "plot": ("--figure", "staleness", "--out", "{out}"),
    "report": ("--out", "{out}/report.html"),
    "compare": ("--out", "{out}"),
}
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {support!r})
from file_operations import Files
from afl_sim import cli

class Killed(Files):
    def step(self, name, half=lambda: None):
        if name == "write":
            half()
            os.kill(os.getpid(), signal.SIGKILL)

sys.argv = ["afl-sim", *sys.argv[1:]]
with Killed(Path("out").resolve()).watched():
    cli.main()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run and an empty folder for results, from which commands are called."""
    fake_run(tmp_path / "run", updates=60)
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(name: str) -> list[str]:
    """A command with its arguments. The folder is absolute, as watched operations need it."""
    return [name, "run", *(word.format(out=Path("out").resolve()) for word in COMMANDS[name])]


def run_here(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "argv", ["afl-sim", *words(name)])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    assert not ending.value.code


def visible(folder: Path) -> dict[str, bytes]:
    """The files under their own names."""
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_whatever_operation_is_the_last_each_file_is_the_old_or_the_new_one(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power is cut here
    out = place / "out"
    whole = Files(out)
    with whole.watched():
        run_here(monkeypatch, name)
    expected = visible(out)
    old = dict.fromkeys(expected, b"old")
    assert {"open", "write", "fsync", "replace"} <= set(whole.done)
    for last in range(len(whole.done)):
        for path in out.iterdir():
            path.unlink()
        for path in old:
            (out / path).write_bytes(b"old")
        with pytest.raises(Cut), Files(out, last).watched():
            run_here(monkeypatch, name)
        found = visible(out)
        assert found.keys() == expected.keys()
        assert all(found[path] in {b"old", expected[path]} for path in found)
    run_here(monkeypatch, name)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_a_kill_half_way_through_a_file_leaves_nothing_under_its_name(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    code = KILLED.format(support=str(TESTS / "support"))
    command = [sys.executable, "-c", code, *words(name)]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert visible(place / "out") == {}
    (draft,) = (place / "out").iterdir()
    assert draft.stat().st_size
    run_here(monkeypatch, name)
    assert not draft.exists()
    assert visible(place / "out")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_write_that_fails_is_told_and_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    out = place / "out"
    whole = Files(out)
    with whole.watched():
        run_here(monkeypatch, name)
    for path in out.iterdir():
        path.unlink()
    capsys.readouterr()
    failing = Files(out, whole.done.index("write"), "error")
    with pytest.raises(SystemExit) as ending, failing.watched():
        cli.main()
    assert ending.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: cannot write {out}")
    assert list(out.iterdir()) == []
