"""Designs for callers of the package."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from afl_sim.design.reading import read_problem
from afl_sim.design.solution import Solution, load_design
from afl_sim.design.solving import Options, place_of, solve
from afl_sim.scenario import Scenario

__all__ = ["Solution", "load_design", "run_design"]


def run_design(
    scenario: Scenario | Mapping[str, Any] | Path | str,
    out: Path | str | None = None,
    *,
    settings: Sequence[str] = (),
    seed: int | None = None,
    workers: int | None = None,
    timing_only: bool = False,
    resume: bool = False,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Solution:
    """Find the setting of a scenario that reaches a target at the least cost.

    Args:
        scenario: the path of a file with a block ``design``, its content as a dictionary, or a
            `Scenario` that has such a block.
        out: the design's folder, missing or empty. Without it the folder is temporary, and is
            removed together with the `Solution` that is returned.
        settings: ``key.path=value``, which replace those of the file.
        seed: replaces the scenario's seed.
        workers: number of worker processes; None: as the scenario's section ``execution`` says.
        timing_only: look at schedules only, and train nothing: there is no winner.
        resume: go on with an unfinished design in ``out``.
        force: begin again, whatever is in ``out``.
        progress: called with a line at each stage.

    Returns:
        The solution.

    Raises:
        ScenarioError: the scenario or its design has mistakes, or no candidate can be used.
        InputError: Optuna is not installed.
        RunFolderError: ``out`` is in use or holds another design.
        AflSimError: every run failed.

    Example:
        >>> from afl_sim import run_design
        >>> few = ["design.candidates=3"]
        >>> found = run_design("scenarios/which-server.yaml", settings=few, timing_only=True)
        >>> found.winner is None  # nothing was trained
        True
    """
    chosen = [*settings, *([] if workers is None else _workers(workers))]
    source: Any = _written(scenario) if isinstance(scenario, Scenario) else scenario
    problem = read_problem(source, chosen, seed)
    options = Options(
        None if out is None else Path(out),
        timing_only,
        resume,
        force,
        progress or (lambda line: None),
    )
    if out is not None:
        return solve(problem, options, {"settings": chosen, "seed": seed})
    parent = Path(tempfile.mkdtemp(prefix="afl_sim-"))
    try:
        place = parent / place_of(problem, timing_only).name
        opened = Options(place, timing_only, say=options.say)
        made = solve(problem, opened, {"settings": chosen, "seed": seed})
    except BaseException:
        shutil.rmtree(parent, ignore_errors=True)
        raise
    weakref.finalize(made, shutil.rmtree, parent, ignore_errors=True)
    return made


def _workers(count: int) -> list[str]:
    executor = "inline" if count == 1 else "processes"
    return [f"execution.workers={count}", f"execution.executor={executor}"]


def _written(scenario: Scenario) -> dict[str, Any]:
    """What was set in a scenario, with its design."""
    content = scenario.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if scenario.design is not None:
        content["design"] = scenario.design.model_dump(mode="json", exclude_unset=True)
    return content
