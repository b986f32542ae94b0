"""What tests of whole runs share: digests, stops, and the content of folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from afl_sim.recording import Run
from afl_sim.run.api import simulate
from afl_sim.scenario import Case
from afl_sim.study.case import Outcome


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


def results(outcome: Outcome) -> dict[str, Any]:
    """What a run of a study came to."""
    run = outcome.opened()
    assert run is not None, outcome.error
    return results_of(run)


def results_of(run: Run) -> dict[str, Any]:
    """How a run ended, and its digests."""
    shown = ("status", "schedule_digest", "model_digest", "final")
    return {key: run.summary[key] for key in shown}


def alone(case: Case, timing_only: bool = False) -> dict[str, Any]:
    """The results of a case by itself in this process."""
    execution = case.scenario.execution.model_copy(update={"executor": "inline"})
    scenario = case.scenario.model_copy(update={"execution": execution})
    return results_of(simulate(scenario, timing_only=timing_only))
