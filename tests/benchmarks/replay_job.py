"""Interrupts runs that train, and resumes them, one for each line of standard input.

It is started by `builds`, and imports whichever `afl_sim` is first on the path: this tree's, or
that of an earlier commit. So it uses nothing but the few functions that both have.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

from schedule_job import schedule


def interrupted(scenario: str, settings: list[str], folder: str, version: int) -> dict[str, Any]:
    """A run that stops at a version, with a checkpoint.

    Clients do no step: an update is zero. So a long run is soon made, with all that a checkpoint
    of a run that trains has in it.
    """
    import torch

    from afl_sim import load_scenario, simulate
    from afl_sim.execution.tasks import Known, ended

    def update(task: Any, due_us: int) -> Any:
        result = type(ended(task.base).value)
        return Known(result(task.base, torch.zeros_like(task.base), 0.0))

    reached = 0

    def progress(at: Any) -> None:
        nonlocal reached
        reached = at.version

    began = process_time()
    with suppress(KeyboardInterrupt):
        simulate(
            load_scenario(Path(scenario), settings),
            Path(folder),
            progress=progress,
            stop_wanted=lambda: reached >= version,
            executors=partial(_executor, update),
        )
    latest = max(int(each.name) for each in (Path(folder) / "checkpoint").iterdir())
    summary = json.loads((Path(folder) / "summary.json").read_text())
    return {
        "cpu": process_time() - began,
        "version": latest,
        "updates": summary["updates"]["aggregated"],
        "digest": summary["schedule_digest"],
    }


def resumed(folder: str) -> dict[str, Any]:
    """How long a resumed run takes until it gives the first task to its executor.

    There it is interrupted again, and the checkpoint stays.
    """
    try:
        from afl_sim.run.api import resume
    except ImportError:  # an earlier build
        from afl_sim.simulation import resume

    first: list[float] = []

    def begin(task: Any, due_us: int) -> Any:
        first.append(process_time())
        raise KeyboardInterrupt

    began = process_time()
    with suppress(KeyboardInterrupt):
        resume(folder, progress=lambda at: None, executors=partial(_executor, begin))
    return {"cpu": first[0] - began}


def _executor(submit: Callable[[Any, int], Any], scenario: Any, prepared: Any) -> Any:
    """An executor that evaluates, and has its tasks done by a function."""
    try:
        from afl_sim.run.executors import inline
    except ImportError:  # an earlier build
        from afl_sim.workers import inline
    executor: Any = inline(scenario, prepared)
    executor.submit = submit
    return executor


def main() -> None:
    """Answer until the input ends."""
    works: dict[str, Callable[..., dict[str, Any]]] = {
        "interrupted": interrupted,
        "resumed": resumed,
        "schedule": schedule,
    }
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(works[job.pop("work")](**job)), flush=True)


if __name__ == "__main__":
    main()
