"""What tests of whole runs share: digests, stops, and the content of folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from afl_sim.recording import Run


def digests(run: Run) -> tuple[str, str]:
    """The digests of a run's schedule and model."""
    return run.summary["schedule_digest"], run.summary["model_digest"]


def every(n: int) -> Callable[[], bool]:
    """Asks for a stop at each n-th version that it is asked about."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked % n == 0

    return stop


def everything_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
