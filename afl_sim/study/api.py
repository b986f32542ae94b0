"""Studies for callers of the package: all runs of a scenario file, from Python."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from afl_sim.errors import AflSimError
from afl_sim.run.api import Progress
from afl_sim.run.loading import written
from afl_sim.run.opened import load_run
from afl_sim.run.validation import Source, check_studies, check_study
from afl_sim.scenario import Case, Scenario
from afl_sim.study.runs import Study, load_study
from afl_sim.study.study import Options, Origin, Outcome, run_cases, study_folder


def run_study(
    scenario: Scenario | Mapping[str, Any] | Path | str | Sequence[Path | str],
    out: Path | str | None = None,
    *,
    settings: Sequence[str] = (),
    seed: int | None = None,
    workers: int | None = None,
    timing_only: bool = False,
    resume: bool = False,
    force: bool = False,
    check: bool = True,
    progress: Callable[[str, Progress], None] | None = None,
) -> Study:
    """Run every run of a study: all replications, cases and combinations of its sweep.

    Args:
        scenario: a scenario, the content of a file as a dictionary, or the path of a file. One that
            describes a single run is a study of one run. A list of paths is one study of the runs
            of these files.
        out: the study's folder, missing or empty. Without it the folder is temporary, and is
            removed together with the `Study` that is returned and its runs.
        settings: ``key.path=value``, which replace those of the scenario in every run.
        seed: replaces the scenario's seed.
        workers: number of worker processes, which train for several runs at once; None: as the
            scenario's section ``execution`` says.
        timing_only: compute the schedules and train nothing.
        resume: keep what is finished in ``out``, and go on with the rest.
        force: run again what is finished in ``out``.
        check: raise an error if a run failed; else `Study.errors` says why.
        progress: called with a run's label and its progress.

    Returns:
        The study, opened for reading.

    Raises:
        ScenarioError: the scenario has mistakes; no folder is left behind.
        RunFolderError: ``out`` is in use or holds another study.
        AflSimError: no run could be started; or some failed, and ``check`` is set.

    Example:
        >>> from afl_sim import run_study
        >>> two = ["replications=2"]
        >>> study = run_study("scenarios/smallest.yaml", settings=two, timing_only=True)
        >>> study.frame["updates"].tolist()
        [60, 60]
    """
    chosen = [*settings, *([] if workers is None else _workers(workers))]
    paths = _paths(scenario)
    if not paths:
        source: Any = written(scenario) if isinstance(scenario, Scenario) else scenario
        plan = check_study(source, chosen, seed, timing_only=timing_only, here=True)
        folder = Path.cwd()
    else:
        sources = [Source(path) for path in paths]
        plan = check_studies(sources, chosen, seed, timing_only=timing_only, here=True)
        folder = paths[0].resolve().parent
    options = Options(
        None if out is None else Path(out),
        timing_only=timing_only,
        force=force,
        resume=resume,
        origin=Origin(tuple(chosen), seed, folder),
    )
    parent = None
    if out is None:
        parent = Path(tempfile.mkdtemp(prefix="afl_sim-"))
        place = parent / study_folder(plan, options).name
        options = Options(place, timing_only, origin=options.origin)

    def watch(case: Case) -> Callable[[Progress], None] | None:
        if progress is None:
            return None
        return lambda made: progress(case.label, made)

    try:
        place, outcomes = run_cases(plan, options, watch)
        made = _opened(place, plan.is_study, outcomes)
        if check and made.errors:
            raise AflSimError(_failures(made, len(outcomes), kept=parent is None))
    except BaseException:
        if parent is not None:
            shutil.rmtree(parent, ignore_errors=True)
        raise
    if parent is not None:
        _remove_with(made, parent)
    return made


class _Held:
    """What keeps a temporary folder: while this is there, so is the folder."""


def _paths(given: Any) -> list[Path]:
    """The files that are named; none if what is given is, or should be, a scenario itself."""
    named = [given] if isinstance(given, Path | str) else given
    if not isinstance(named, Sequence) or not all(isinstance(each, Path | str) for each in named):
        return []
    return [Path(each) for each in named]


def _remove_with(study: Study, folder: Path) -> None:
    """Remove a folder once the study and all of its runs are gone."""
    held = _Held()
    weakref.finalize(held, shutil.rmtree, folder, ignore_errors=True)
    for holder in (study, *study.runs):
        holder.__dict__["_held"] = held


def _workers(count: int) -> list[str]:
    executor = "inline" if count == 1 else "processes"
    return [f"execution.workers={count}", f"execution.executor={executor}"]


def _opened(place: Path, is_study: bool, outcomes: Sequence[Outcome]) -> Study:
    """The study in a folder, with the errors of its runs."""
    errors = {
        outcome.label: str(outcome.error) for outcome in outcomes if outcome.error is not None
    } | {
        outcome.label: f"{outcome.status}: {outcome.reason}"
        for outcome in outcomes
        if outcome.error is None and outcome.status == "failed"
    }
    if is_study:
        found = load_study(place)
        return Study(found.path, found.runs, found.not_begun, errors)
    return Study(place, (load_run(place),), (), errors)


def _failures(study: Study, runs: int, *, kept: bool) -> str:
    """What went wrong, a line for each run."""
    others = f"; load_study({str(study.path)!r}) opens the others" if kept else ""
    what = f"{len(study.errors)} of {runs} runs failed{others}; with check=False they do not raise"
    return "\n".join([what, *(f"{label}: {why}" for label, why in study.errors.items())])
