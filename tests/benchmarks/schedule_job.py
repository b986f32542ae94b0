"""Runs schedules, or bare SimPy, one for each line of standard input; answers each with a line.

It is started by `builds`, and imports whichever `afl_sim` is first on the path: this tree's, or
that of an earlier commit. So it uses nothing but the few functions that both have.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any


def bare(processes: int, timeouts: int) -> dict[str, Any]:
    """So many processes in bare SimPy, which together wait for so many timeouts."""
    import simpy

    env = simpy.Environment(initial_time=0)
    each = max(1, timeouts // processes)

    def wait(first: int) -> Any:
        for k in range(each):
            yield env.timeout(1000 + (first + k * 7919) % 100_003)

    for process in range(processes):
        env.process(wait(process * 104_729))
    began = process_time()
    env.run()
    return {"cpu": process_time() - began, "timeouts": processes * each}


def schedule(scenario: str, settings: list[str]) -> dict[str, Any]:
    """A timing-only run of a scenario file with its folder."""
    from afl_sim import load_scenario, simulate

    asked = load_scenario(Path(scenario), settings)
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = process_time(), perf_counter()
        run = simulate(asked, Path(folder) / "run", timing_only=True)
        cpu, wall = process_time() - cpu, perf_counter() - wall
        log = (run.path / "events.parquet").stat().st_size
    summary = run.summary
    return {
        "cpu": cpu,
        "wall": wall,
        "updates": summary["updates"]["aggregated"],
        "digest": summary["schedule_digest"],
        "log_bytes": log,
    }


def main() -> None:
    """Answer until the input ends."""
    works: dict[str, Callable[..., dict[str, Any]]] = {"bare": bare, "schedule": schedule}
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(works[job.pop("work")](**job)), flush=True)


if __name__ == "__main__":
    main()
