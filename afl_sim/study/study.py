"""Runs all cases of a scenario file, and decides where they go and which of them are reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from afl_sim.errors import InputError, RunFolderError
from afl_sim.recording import StudyFolder, check_free
from afl_sim.recording.files import refuse_link
from afl_sim.recording.folder import SCENARIO, STUDY
from afl_sim.recording.replacement import bring_back
from afl_sim.recording.study_folder import check_study_there, keep_source, part_source
from afl_sim.run.api import run_name
from afl_sim.run.checks import check_before_data, check_executor
from afl_sim.scenario import Case, Study, scenario_id
from afl_sim.study.begun import index_entries
from afl_sim.study.case import (
    Options,
    Origin,
    Outcome,
    ProgressOf,
    existing,
    finished_before,
    outcome_of,
    run_case,
)
from afl_sim.study.side_by_side import run_side_by_side
from afl_sim.user_code import one_error

__all__ = ["RUNS", "Options", "Origin", "Outcome", "run_cases", "study_folder", "study_id"]

RUNS = Path("runs")
_NAMED = 5  # runs in a notice


def study_folder(study: Study, options: Options) -> Path:
    """The folder for the results of a scenario file."""
    if options.out is not None:
        return options.out
    suffix = "-timing" if options.timing_only else ""
    if not study.is_study:
        return RUNS / (run_name(study.cases[0].scenario) + suffix)
    return RUNS / f"{study.name}-{study_id(study)}{suffix}"


def study_id(study: Study) -> str:
    """Eight hex digits that identify a study, by the labels and identities of its cases."""
    identity = "".join(f"{case.label}:{scenario_id(case.scenario)};" for case in study.cases)
    return hashlib.sha256(identity.encode()).hexdigest()[:8]


def run_cases(
    study: Study,
    options: Options,
    progress_of: ProgressOf,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[Path, list[Outcome]]:
    """Run every case of a scenario file; if one fails, the others go on.

    Args:
        study: the content of the file, with one case or several.
        options: how the study is run, and where it goes.
        progress_of: called before each run; returns the callback for its progress, or None.
        tell: called with each outcome as soon as it is known.

    Returns:
        The folder, and the outcome of each case, in order.

    Raises:
        InputError: no run could be started; the folder is as it was before.
        AflSimError: the only run failed.
    """
    for case in study.cases:
        check_before_data(case.scenario, options.timing_only)
        check_executor(case.scenario.execution)
    folder = study_folder(study, options)
    if study.is_study:
        bring_back(folder, {case.label for case in study.cases})
    else:
        bring_back(folder.parent, {folder.name})
    if options.out is not None and not (options.force or options.resume):
        _check_free(folder)
    if not study.is_study:
        (case,) = study.cases
        outcome = finished_before(case, folder, options)
        if outcome is None:
            _tell_what_begins_anew([folder], options)
            with one_error():
                outcome = run_case(case, folder, options, progress_of(case))
        tell(outcome)
        return folder, [outcome]
    labels = [case.label for case in study.cases]
    made = None
    if not (folder / STUDY).is_file():
        titles = {case.label: case.title for case in study.cases if case.title}
        how = index_entries(options) | ({"titles": titles} if titles else {})
        if study.parts:
            how["files"] = {part.name: str(part.folder) for part in study.parts}
        sources = {part.name: part.source for part in study.parts}
        source = None if study.parts else study.source
        made = StudyFolder.create(folder, study.name, labels, source, how, sources)
    elif _labels_in(folder) != labels:
        raise RunFolderError(f"{folder} holds another study; choose another folder or remove it")
    try:
        outcomes = _run_missing(study.cases, folder, options, progress_of, tell)
    except InputError:
        if made is not None:
            made.discard()
        raise
    if all(outcome.place is None for outcome in outcomes) and outcomes[0].error is not None:
        if made is not None:
            made.discard()  # there is no run: leave nothing
        raise outcomes[0].error
    if made is None:  # its figures may be described in another way now
        for part in study.parts:
            keep_source(folder, part.source, part_source(part.name))
        if not study.parts:
            keep_source(folder, study.source)
    return folder, outcomes


def can_share(cases: Sequence[Case]) -> bool:
    """Whether these cases ask for the same workers."""
    execution = cases[0].scenario.execution
    return execution.executor != "inline" and all(
        case.scenario.execution == execution for case in cases
    )


def _run_missing(
    cases: Sequence[Case],
    folder: Path,
    options: Options,
    progress_of: ProgressOf,
    tell: Callable[[Outcome], None],
) -> list[Outcome]:
    """Run the cases that are not finished, side by side or one after another."""
    outcomes: dict[str, Outcome] = {}
    for case in cases:
        found = finished_before(case, folder / case.label, options)
        if found is not None:
            outcomes[case.label] = found
            tell(found)
    wanted = [case for case in cases if case.label not in outcomes]
    for case in wanted:
        refuse_link(folder / case.label)
    _tell_what_begins_anew([folder / case.label for case in wanted], options)
    if wanted and can_share(wanted):
        outcomes |= run_side_by_side(wanted, folder, options, progress_of, tell)
        wanted = []
    for case in wanted:
        check_study_there(folder)
        place = folder / case.label
        run = partial(run_case, case, place, options, progress_of(case))
        outcomes[case.label] = outcome_of(case.label, place, run)
        tell(outcomes[case.label])
    return [outcomes[case.label] for case in cases]


def _check_free(folder: Path) -> None:
    """Refuse a folder that is in use.

    Raises:
        RunFolderError: it is; the message states what can be done about it.
    """
    try:
        check_free(folder)
    except RunFolderError:
        if not any((folder / name).is_file() for name in (SCENARIO, STUDY)):
            raise
        what = "run" if (folder / SCENARIO).is_file() else "study"
        raise RunFolderError(
            f"{folder} already holds a {what}: --resume keeps what is finished and goes on with "
            "the rest, --force runs everything again; or choose another folder"
        ) from None


def _tell_what_begins_anew(places: Sequence[Path], options: Options) -> None:
    """Give notice of unfinished runs that will start again from the beginning."""
    if options.notice is None or options.force or options.resume:
        return
    begun = [place for place in places if existing(place) is not None]
    if begun:
        names = ", ".join(map(str, begun[:_NAMED])) + (", ..." if begun[_NAMED:] else "")
        what = "holds an unfinished run, which starts"
        if len(begun) > 1:
            what = "hold unfinished runs, which start"
        options.notice(
            f"{names} {what} again from the beginning; to continue instead, stop now and add "
            "--resume"
        )


def _labels_in(folder: Path) -> list[str] | None:
    try:
        content = json.loads((folder / STUDY).read_text(encoding="utf-8"))
        return [str(label) for label in content["runs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
