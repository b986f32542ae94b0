"""`afl-sim run --workers 2` of a study: broken off once and twice, and gone on with."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from commands import ENDLESS, Command, leftovers, summary
from places import SMALLEST

STUDY = SMALLEST.read_text() + "replications: 3\n"
WORKERS = ("--workers", "2", "--out", "study")


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    raise AssertionError("it never came")


def started(afl_sim: Command, folder: Path) -> subprocess.Popen[str]:
    """An endless study in which two runs are well under way."""
    (folder / "study.yaml").write_text(STUDY)
    process = afl_sim.start(
        "run", "study.yaml", *ENDLESS, "--set", "execution.checkpoint_versions=1", *WORKERS
    )
    wait_until(lambda: len(list(folder.glob("study/*/checkpoint/*"))) >= 2, process)
    return process


def test_ctrl_c_writes_a_checkpoint_for_each_run_in_progress(
    afl_sim: Command, tmp_path: Path
) -> None:
    process = started(afl_sim, tmp_path)
    process.send_signal(signal.SIGTERM)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in out + err
    assert leftovers(tmp_path) == []
    runs = [path.parent for path in tmp_path.glob("study/*/scenario.yaml")]
    assert len(runs) == 2
    for run in runs:
        found = summary(run)
        assert found["status"] == "interrupted"
        newest = max(int(entry.name) for entry in (run / "checkpoint").iterdir())
        assert newest == found["versions"]


def test_a_second_ctrl_c_ends_it_at_once(afl_sim: Command, tmp_path: Path) -> None:
    process = started(afl_sim, tmp_path)
    try:
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in out + err
