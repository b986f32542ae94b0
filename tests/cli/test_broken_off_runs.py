"""Runs that do not come to their end: Ctrl-C and a full disk."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commands import ENDLESS, QUICK, Command, leftovers, summary
from places import SMALLEST
from run_checks import everything_in

from afl_sim import load_run


def wait_for(folder: Path, name: str, process: subprocess.Popen[str]) -> None:
    """Wait until a folder has a file whose name begins like this."""
    for _ in range(1200):
        if any(folder.glob(f"{name}*")):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"{folder / name} never came")


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=60)
    finally:
        process.kill()


def test_ctrl_c_closes_the_run_folder_and_leaves_whole_files(
    afl_sim: Command, tmp_path: Path
) -> None:
    often = ("--set", "execution.checkpoint_seconds=0.1")
    process = afl_sim.start("run", SMALLEST, *ENDLESS, *often, "--out", "run")
    wait_for(tmp_path / "run", "checkpoint", process)  # so that a version was made
    out, err = interrupt(process)
    assert process.returncode == 130
    assert err.splitlines()[-2:] == ["to continue: afl-sim resume run", "error: interrupted"]
    assert "Traceback" not in out + err
    assert leftovers(tmp_path) == []
    found = summary(tmp_path / "run")
    assert found["status"] == "interrupted"
    assert found["updates"]["aggregated"] > 0
    run = load_run(tmp_path / "run")
    assert len(run.events) > found["updates"]["aggregated"]
    assert not (run.path / "model.safetensors").exists()


def test_ctrl_c_before_a_run_begins_leaves_nothing(afl_sim: Command, tmp_path: Path) -> None:
    # The scenario is being read: it names a module that takes its time to import.
    waits = "import pathlib, time\npathlib.Path('here').touch()\ntime.sleep(300)\n"
    (tmp_path / "waits.py").write_text(waits)
    strategy = ("--set", "strategy={kind: 'waits:Strategy'}")
    process = afl_sim.start("run", SMALLEST, *ENDLESS, *strategy, "--out", "run")
    wait_for(tmp_path, "here", process)
    out, err = interrupt(process)
    # Some libraries reset the handler while they are imported; a shell calls that 130, too.
    assert process.returncode in {130, -signal.SIGINT}
    assert "Traceback" not in out + err
    assert {entry.name for entry in tmp_path.iterdir()} - {"__pycache__"} == {"waits.py", "here"}


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.usefixtures("finished")  # so that the cache is there
@pytest.mark.parametrize(
    ("size", "first_lost"),
    [(20_000, "model.safetensors"), (500, None)],
)
def test_no_half_file_is_left_when_the_disk_is_full(
    afl_sim: Command, tmp_path: Path, size: int, first_lost: str | None
) -> None:
    """A limit on the size of files fails a write in the middle, as a full disk does."""
    result = afl_sim(
        "run",
        SMALLEST,
        *QUICK,
        "--out",
        "run",
        before=lambda: limit_files(size),
        PYTHONDONTWRITEBYTECODE="1",
    )
    message = result.err.splitlines()[-1]  # a slow machine shows its progress before
    assert message.startswith("error: ")
    assert leftovers(tmp_path) == []
    if first_lost is None:  # not even the scenario could be written
        assert result.code == 2
        assert list(tmp_path.iterdir()) == []
        return
    assert result.code == 1
    assert first_lost in message
    assert "limit" in message
    assert not (tmp_path / "run" / first_lost).exists()
    run = load_run(tmp_path / "run")
    assert run.status in {"failed", "unfinished"}
    assert len(everything_in(run.path)) >= 2
