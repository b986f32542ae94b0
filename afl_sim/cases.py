"""One case of a scenario file: found finished, gone on with, or run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from afl_sim.blame import told
from afl_sim.code import code_digest
from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.recording import Run, RunFolder, load_run
from afl_sim.recording.folder import SCENARIO
from afl_sim.scenario import Case, scenario_id
from afl_sim.simulation import Progress, load_scenario, resume, simulate
from afl_sim.workers import Executors


@dataclass(frozen=True)
class Outcome:
    """What became of one case of a study.

    Attributes:
        label: the case's label.
        run: its run folder, or None if there is none.
        reused: whether a finished run was found instead of running it.
        other_code: whether what was found was made by other code than would run it now.
        error: why it failed, or None.
    """

    label: str
    run: Run | None
    reused: bool = False
    other_code: bool = False
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


def finished_before(case: Case, place: Path, options: Options) -> Outcome | None:
    """The case's finished run, if there is one that is to be reused."""
    found = existing(place)
    if found is None or found.status != "complete" or options.force:
        return None
    other_code = found.manifest.get("code") != code_digest(case.scenario)
    return Outcome(case.label, found, reused=True, other_code=other_code)


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
    found = existing(place)
    if found is not None and options.resume and not options.force:
        _refuse_other(case, place)
        run = resume(
            place,
            progress=progress,
            stop_wanted=options.stop_wanted,
            execution=case.scenario.execution,
            executors=executors,
        )
        return Outcome(case.label, run)
    if found is not None:  # broken off, or to be run again: a run is remade as a whole
        with RunFolder.open(place).locked():
            shutil.rmtree(place)
    run = simulate(
        case.scenario,
        place,
        timing_only=options.timing_only,
        progress=progress,
        stop_wanted=options.stop_wanted,
        command=options.command,
        executors=executors,
    )
    return Outcome(case.label, run)


def outcome_of(label: str, place: Path, run: Callable[[], Outcome]) -> Outcome:
    """What ``run`` gives; or, whatever it raises, the outcome that says so."""
    try:
        return run()
    except AflSimError as error:
        return Outcome(label, existing(place), error=error)
    except Exception as error:
        return Outcome(label, existing(place), error=AflSimError(told(error)))


def existing(place: Path) -> Run | None:
    """The run in a folder, in whatever state, or None."""
    if not (place / SCENARIO).is_file():
        return None
    try:
        return load_run(place)
    except RunFolderError:
        return None


def _refuse_other(case: Case, place: Path) -> None:
    """Refuse to resume a run of another scenario.

    Raises:
        RunFolderError: the folder's scenario is not the case's.
    """
    if scenario_id(load_scenario(place / SCENARIO)) != scenario_id(case.scenario):
        raise RunFolderError(f"{place} holds a run of another scenario; resume that by itself")
