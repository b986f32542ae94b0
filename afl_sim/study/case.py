"""One case of a scenario file: reused if it is finished, else resumed or run."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.recording import Run, RunFolder, load_head, load_run
from afl_sim.recording.folder import SCENARIO
from afl_sim.recording.replacement import FINISHED, Replacement
from afl_sim.run.api import Progress, load_scenario, resume, simulate
from afl_sim.run.identity import identity_of
from afl_sim.run.upkeep import keep_figures, tidy
from afl_sim.scenario import Case, scenario_id
from afl_sim.user_code import one_error

if TYPE_CHECKING:
    from afl_sim.run.executors import Executors

ProgressOf = Callable[[Case], Callable[[Progress], None] | None]
"""Gives the callback for the progress of a case, or None."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one case of a study, and where its run is.

    A study of a thousand runs holds all of their outcomes, so an outcome does not hold the run.

    Attributes:
        label: the case's label.
        place: its run folder; None if there is none.
        status: of the run, as `Run.status` has it; empty if there is none.
        reason: why it has this status, as its summary says; None if that says nothing.
        seconds: of wall time that the run took.
        reused: whether the run was finished before, and so was not run again.
        others: which of ``code`` and ``numerics`` differ from those of now, if it is reused.
        error: why it failed; None if it did not.
    """

    label: str
    place: Path | None = None
    status: str = ""
    reason: str | None = None
    seconds: float = 0.0
    reused: bool = False
    others: tuple[str, ...] = ()
    error: AflSimError | None = None

    @classmethod
    def of(
        cls,
        label: str,
        run: Run | None,
        *,
        reused: bool = False,
        others: tuple[str, ...] = (),
        error: AflSimError | None = None,
    ) -> Self:
        """The outcome of a case that has left a run, or none."""
        if run is None:
            return cls(label, error=error)
        wall = (run.summary.get("wall_seconds") or {}).get("total") or 0.0
        reason = run.summary.get("reason")
        return cls(label, run.path, run.status, reason, wall, reused, others, error)

    @property
    def succeeded(self) -> bool:
        """Whether the run came to its end."""
        return self.error is None and self.status == "complete"

    def opened(self) -> Run | None:
        """The run, read from its folder; None if there is none.

        Raises:
            RunFolderError: it has been damaged since.
        """
        return None if self.place is None else load_head(self.place)


@dataclass(frozen=True)
class Origin:
    """How a scenario file was read. With a copy of the file, this is enough to read it again.

    Attributes:
        settings: the overrides, ``key.path=value``.
        seed: replaced the file's seed; None if nothing did.
        folder: the folder of the file; paths in the file are relative to it.
    """

    settings: tuple[str, ...]
    seed: int | None
    folder: Path


@dataclass(frozen=True)
class Options:
    """How a study is run.

    Attributes:
        out: the folder of the run or the study; None for ``runs/<name>-<id>``.
        timing_only: train nothing.
        force: run again what is finished.
        resume: go on with unfinished runs instead of running them from the beginning.
        command: the command line, for the manifests.
        stop_wanted: returns whether the study should stop; called as by `simulate`.
        notice: called with one line that the user should know about runs that exist already.
        origin: how the scenario file was read, for the index of a study.
        finished: a run with one of these statuses is reused.
    """

    out: Path | None = None
    timing_only: bool = False
    force: bool = False
    resume: bool = False
    command: Sequence[str] | None = None
    stop_wanted: Callable[[], bool] | None = None
    notice: Callable[[str], None] | None = None
    origin: Origin | None = None
    finished: Collection[str] = ("complete",)


def finished_before(case: Case, place: Path, options: Options) -> Outcome | None:
    """The case's finished run, if there is one to be reused.

    Raises:
        RunFolderError: the run to be reused or resumed is damaged, or is not the case's.
    """
    if options.force:
        return None
    found = existing(place)
    if found is not None and found.status in options.finished:
        try:
            found = load_run(place)
        except RunFolderError as error:
            raise RunFolderError(f"{error}; `run --force` runs it again") from None
        tidy(found)
    if found is None:
        return None
    if found.status in options.finished or options.resume:
        _refuse_other(case, found, options)
    if found.status not in options.finished:
        return None
    differences = identity_of(case.scenario, options.timing_only).differences(
        found.manifest, options.timing_only
    )
    if "data" in differences:
        raise RunFolderError(
            f"{found.path} was made from other data ({differences['data']}): the content of "
            "data.dataset has changed since; `run --force` replaces it, --out makes another run"
        )
    keep_figures(found, case.scenario)
    others = tuple(what for what in ("code", "numerics") if what in differences)
    return Outcome.of(case.label, found, reused=True, others=others)


def run_case(
    case: Case,
    place: Path,
    options: Options,
    progress: Callable[[Progress], None] | None = None,
    executors: Executors | None = None,
) -> Outcome:
    """Run a case, resume it, or reuse its finished run.

    Args:
        case: what to run.
        place: its run folder.
        options: how it is run.
        progress: as for `simulate`.
        executors: as for `simulate`.

    Raises:
        AflSimError: the run could not be started, or it failed.
    """
    if (reused := finished_before(case, place, options)) is not None:
        return reused
    found = existing(place, even_damaged=options.force)
    if found is not None and options.resume and not options.force:
        keep_figures(found, case.scenario)
        run = resume(
            place,
            progress=progress,
            stop_wanted=options.stop_wanted,
            notice=options.notice,
            execution=case.scenario.execution,
            executors=executors,
        )
        return Outcome.of(case.label, run)
    older = None
    with ExitStack() as until_begun:
        if found is not None:  # unfinished, or to be run again: always from the beginning
            with RunFolder.open(place).locked():
                if (reused := finished_before(case, place, options)) is not None:
                    return reused  # another process has just finished it
                now = existing(place, even_damaged=options.force)
                older = until_begun.enter_context(Replacement(now or found))
        run = simulate(
            case.scenario,
            place,
            timing_only=options.timing_only,
            progress=progress,
            stop_wanted=options.stop_wanted,
            first_version=None if older is None else older.let_go,
            command=options.command,
            executors=executors,
        )
    return Outcome.of(case.label, run)


def outcome_of(label: str, place: Path, run: Callable[[], Outcome]) -> Outcome:
    """What ``run`` returns; or an outcome with the error that it raises, whatever that is."""
    try:
        with one_error():
            return run()
    except AflSimError as error:
        left = None
        with suppress(RunFolderError):
            left = existing(place)
        if left is not None and left.status in FINISHED:
            left = None  # an older run, put back since the new one did not start
        return Outcome.of(label, left, error=error)


def existing(place: Path, *, even_damaged: bool = False) -> Run | None:
    """The run in a folder, whatever its status; None if there is none.

    Args:
        place: the folder.
        even_damaged: return a damaged run too, as one without summary and manifest.

    Raises:
        RunFolderError: the run is damaged, and ``even_damaged`` is not set.
    """
    if not os.path.isfile(place / SCENARIO):  # False also of a name that is too long
        return None
    try:
        return load_head(place)
    except RunFolderError:
        if even_damaged:
            return Run(place, place.name, place.name, {}, {}, {})
        raise


def _refuse_other(case: Case, found: Run, options: Options) -> None:
    """Refuse a run that is not the case's.

    Raises:
        RunFolderError: it has another scenario, or one of the two trains and the other does not.
    """
    what = None
    # Folders of older code lack the scenario's identity.
    made_from = found.manifest.get("scenario_id") or scenario_id(
        load_scenario(found.path / SCENARIO)
    )
    if made_from != scenario_id(case.scenario):
        what = "a run of another scenario"
    elif found.timing_only != options.timing_only:
        what = f"a run {'with' if options.timing_only else 'without'} training"
    if what is not None:
        raise RunFolderError(
            f"{found.path} holds {what}; choose another folder, continue that run with `afl-sim "
            "resume`, or replace it with --force"
        )
