"""One case of a scenario file: found finished, gone on with, or run."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.recording import Run, RunFolder, load_head, load_run
from afl_sim.recording.folder import SCENARIO
from afl_sim.recording.replacement import FINISHED, Replacement
from afl_sim.run.api import Progress, load_scenario, resume, simulate
from afl_sim.run.executors import Executors
from afl_sim.run.identity import identity_of
from afl_sim.run.upkeep import tidy
from afl_sim.scenario import Case, scenario_id
from afl_sim.user_code import one_error


@dataclass(frozen=True)
class Outcome:
    """What became of one case of a study.

    Attributes:
        label: the case's label.
        run: its run folder, or None if there is none.
        reused: whether a finished run was found instead of running it.
        others: in what it was made otherwise than it would be made now: ``code``, ``numerics``.
        error: why it failed, or None.
    """

    label: str
    run: Run | None
    reused: bool = False
    others: tuple[str, ...] = ()
    error: AflSimError | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the run came to its end."""
        return self.error is None and self.run is not None and self.run.status == "complete"


@dataclass(frozen=True)
class Origin:
    """How a scenario file was read; with a copy of the file that is enough to read it again.

    Attributes:
        settings: the overrides, ``key.path=value``.
        seed: what replaced the file's seed, or None.
        folder: the file's folder, from which the paths in it go out.
    """

    settings: tuple[str, ...]
    seed: int | None
    folder: Path


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
        notice: told in one line what the user should know of runs that are there already.
        origin: how the scenario file was read, for the index of a study.
        finished: the statuses of a run that is reused.
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
    """The case's finished run, if there is one that is to be reused.

    Raises:
        RunFolderError: what is to be reused, or gone on with, is another run than the case's, or
            it is damaged.
    """
    if options.force:
        return None
    found = existing(place)
    if found is not None and found.status in options.finished:
        try:
            found = load_run(place)
        except RunFolderError as error:
            raise RunFolderError(f"{error}; `run --force` makes the run again") from None
        tidy(found)
    if found is None:
        return None
    if found.status in options.finished or options.resume:
        _refuse_other(case, found, options)
    if found.status not in options.finished:
        return None
    differences = identity_of(case.scenario).differences(found.manifest, options.timing_only)
    others = tuple(what for what in ("code", "numerics") if what in differences)
    return Outcome(case.label, found, reused=True, others=others)


def run_case(
    case: Case,
    place: Path,
    options: Options,
    progress: Callable[[Progress], None] | None = None,
    executors: Executors | None = None,
) -> Outcome:
    """Run a case, go on with it, or find it finished.

    Args:
        case: what to run.
        place: its run folder.
        options: how.
        progress: as for `simulate`.
        executors: where tasks run; by default as the case says.

    Raises:
        AflSimError: it could not be begun, or failed.
    """
    if (reused := finished_before(case, place, options)) is not None:
        return reused
    found = existing(place, even_damaged=options.force)
    if found is not None and options.resume and not options.force:
        run = resume(
            place,
            progress=progress,
            stop_wanted=options.stop_wanted,
            notice=options.notice,
            execution=case.scenario.execution,
            executors=executors,
        )
        return Outcome(case.label, run)
    older = None
    with ExitStack() as until_begun:
        if found is not None:  # broken off, or to be run again: a run is remade as a whole
            with RunFolder.open(place).locked():
                if (reused := finished_before(case, place, options)) is not None:
                    return reused  # another process has come to its end with it just now
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
    return Outcome(case.label, run)


def outcome_of(label: str, place: Path, run: Callable[[], Outcome]) -> Outcome:
    """What ``run`` gives; or, whatever it raises, the outcome that says so."""
    try:
        with one_error():
            return run()
    except AflSimError as error:
        left = None
        with suppress(RunFolderError):
            left = existing(place)
        if left is not None and left.status in FINISHED:
            left = None  # an older run, which is there again since the new one did not begin
        return Outcome(label, left, error=error)


def existing(place: Path, *, even_damaged: bool = False) -> Run | None:
    """The run in a folder, in whatever state, or None.

    Raises:
        RunFolderError: it is damaged, and not wanted ``even_damaged``, as one of which nothing is
            known.
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
    """Refuse to take another run for the case's.

    Raises:
        RunFolderError: its scenario is not the case's, or one of them trains and the other not.
    """
    what = None
    # Folders of older code do not say which scenario they were made from.
    made_from = found.manifest.get("scenario_id") or scenario_id(
        load_scenario(found.path / SCENARIO)
    )
    if made_from != scenario_id(case.scenario):
        what = "a run of another scenario"
    elif found.timing_only != options.timing_only:
        what = f"a run {'with' if options.timing_only else 'without'} training"
    if what is not None:
        raise RunFolderError(
            f"{found.path} holds {what}; choose another folder, go on with that run by "
            "`afl-sim resume`, or replace it with --force"
        )
