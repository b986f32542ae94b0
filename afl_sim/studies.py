"""Running scenario files: where folders go, what is reused, and studies of several runs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.recording import Run, RunFolder, StudyFolder, check_free, load_run
from afl_sim.recording.folder import SCENARIO, STUDY
from afl_sim.scenario import Case, Study, scenario_id
from afl_sim.simulation import (
    Progress,
    check_mode,
    load_scenario,
    resume,
    run_name,
    simulate,
)

RUNS = Path("runs")


@dataclass(frozen=True)
class Outcome:
    """What became of one case of a study.

    Attributes:
        label: the case's label.
        run: its run folder, or None if there is none.
        reused: whether a finished run was found instead of running it.
        error: why it failed, or None.
    """

    label: str
    run: Run | None
    reused: bool = False
    error: AflSimError | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the run came to its end."""
        return self.run is not None and self.run.status == "complete"


@dataclass(frozen=True)
class Options:
    """How a study is run.

    Attributes:
        out: the run folder, or for a study its folder; None for ``runs/<name>-<id>``.
        timing_only: train nothing.
        force: run again what has a finished folder.
        resume: go on with runs that were broken off, instead of running them again.
        command: the command line, for the manifests.
        stop_wanted: asked after each version; True breaks the study off there.
    """

    out: Path | None = None
    timing_only: bool = False
    force: bool = False
    resume: bool = False
    command: Sequence[str] | None = None
    stop_wanted: Callable[[], bool] | None = None


def study_folder(study: Study, options: Options) -> Path:
    """Where the results of a scenario file go."""
    if options.out is not None:
        return options.out
    suffix = "-timing" if options.timing_only else ""
    if not study.is_study:
        return RUNS / (run_name(study.cases[0].scenario) + suffix)
    identity = "".join(f"{case.label}:{scenario_id(case.scenario)};" for case in study.cases)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    return RUNS / f"{study.name}-{digest}{suffix}"


def run_study(
    study: Study,
    options: Options,
    watch: Callable[[Case], Callable[[Progress], None] | None],
) -> tuple[Path, list[Outcome]]:
    """Run every case of a scenario file; the others go on when one fails.

    Args:
        study: the file, with one case or several.
        options: where to and how.
        watch: called before each run; returns what is told of its progress.

    Returns:
        The folder, and what became of each case, in order.

    Raises:
        InputError: nothing could be begun; nothing is left behind.
    """
    for case in study.cases:
        check_mode(case.scenario, options.timing_only)
    folder = study_folder(study, options)
    if options.out is not None and not (options.force or options.resume):
        check_free(folder)
    if not study.is_study:
        return folder, [_run_case(study.cases[0], folder, options, watch, alone=True)]
    labels = [case.label for case in study.cases]
    made = None
    if not (folder / STUDY).is_file():
        made = StudyFolder.create(folder, study.name, labels, study.source)
    elif _labels_in(folder) != labels:
        raise RunFolderError(
            f"{folder} is in the way: it holds another study; choose another folder or remove it"
        )
    outcomes = []
    for case in study.cases:
        outcomes.append(_run_case(case, folder / case.label, options, watch, alone=False))
    if all(outcome.run is None for outcome in outcomes) and outcomes[0].error is not None:
        if made is not None:
            made.discard()  # no run came to be: leave nothing
        raise outcomes[0].error
    return folder, outcomes


def _run_case(
    case: Case,
    place: Path,
    options: Options,
    watch: Callable[[Case], Callable[[Progress], None] | None],
    alone: bool,
) -> Outcome:
    found = _existing(place)
    if found is not None and found.status == "complete" and not options.force:
        return Outcome(case.label, found, reused=True)
    going_on = found is not None and options.resume and not options.force
    if going_on:
        _refuse_other(case, place)
    elif found is not None:  # broken off, or to be run again: a run is remade as a whole
        with RunFolder.open(place).locked():
            shutil.rmtree(place)
    try:
        if going_on:
            run = resume(
                place,
                progress=watch(case),
                stop_wanted=options.stop_wanted,
                execution=case.scenario.execution,
            )
        else:
            run = simulate(
                case.scenario,
                place,
                timing_only=options.timing_only,
                progress=watch(case),
                stop_wanted=options.stop_wanted,
                command=options.command,
            )
    except AflSimError as error:
        if alone:
            raise
        return Outcome(case.label, _existing(place), error=error)
    return Outcome(case.label, run)


def _refuse_other(case: Case, place: Path) -> None:
    """Refuse to resume a run of another scenario.

    Raises:
        RunFolderError: the folder's scenario is not the case's.
    """
    if scenario_id(load_scenario(place / SCENARIO)) != scenario_id(case.scenario):
        raise RunFolderError(f"{place} holds a run of another scenario; resume that by itself")


def _existing(place: Path) -> Run | None:
    if not (place / SCENARIO).is_file():
        return None
    try:
        return load_run(place)
    except RunFolderError:
        return None


def _labels_in(folder: Path) -> list[str] | None:
    try:
        content = json.loads((folder / STUDY).read_text(encoding="utf-8"))
        return [str(label) for label in content["runs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
