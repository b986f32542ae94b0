"""The functions for callers of the package: read a scenario, run it, or resume a run.

A run has three stages. Each is a function, and is called once:

1. `prepare` loads the data, deals it out, builds the initial model and checks that all of it fits.
2. `run` turns the clock while the learner makes the numbers. Events, evaluations and checkpoints
   are written as they come.
3. `record` writes what is known only at the end: the model, the trace and the summary.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from afl_sim import recording
from afl_sim.errors import RunFolderError
from afl_sim.recording import RunFolder, load_head
from afl_sim.recording.replacement import bring_back
from afl_sim.run.attendance import check_attendance
from afl_sim.run.checks import check_before_data, check_mode
from afl_sim.run.garbage import free_finished_runs
from afl_sim.run.identity import Identity, identity_of
from afl_sim.run.loading import load_scenario, read_study, run_name, single
from afl_sim.run.observer import Observer, Progress
from afl_sim.run.opened import Run, load_run
from afl_sim.run.preparation import prepare
from afl_sim.run.record import record
from afl_sim.run.recorder import begun_folder, new_folder
from afl_sim.run.run import run
from afl_sim.run.upkeep import lost_files, restore, tidy
from afl_sim.scenario import Execution, Scenario

if TYPE_CHECKING:
    from afl_sim.run.executors import Executors

__all__ = [
    "Observer",
    "Progress",
    "load_scenario",
    "read_study",
    "resume",
    "run_name",
    "simulate",
]

_WORDS = {
    "numerics": "other numerics",
    "code": "other code",
    "scenario": "another scenario",
    "data": "other data",
}


def simulate(
    scenario: Scenario | Mapping[str, Any] | Path | str,
    out: Path | str | None = None,
    *,
    timing_only: bool = False,
    progress: Callable[[Progress], None] | None = None,
    stop_wanted: Callable[[], bool] | None = None,
    first_version: Callable[[], None] | None = None,
    command: Sequence[str] | None = None,
    executors: Executors | None = None,
) -> Run:
    """Run a scenario and return its run folder, opened for reading.

    Args:
        scenario: a scenario of a single run, the content of a file as a dictionary, or the path of
            a file.
        out: the run folder, missing or empty. Without it the folder is temporary, and is removed
            together with the `Run` that is returned.
        timing_only: compute the schedule and train nothing.
        progress: called with each version, and about ten times a second between versions.
        stop_wanted: returns whether the run should stop. It is called after each version, where the
            run stops with a checkpoint, and between events if no version comes for a second, where
            it stops with the last checkpoint.
        first_version: called once, when the run has made its first version.
        command: the command line, for the manifest.
        executors: makes the executor that runs the tasks (`afl_sim.run.executors`); by default the
            one that the scenario's section ``execution`` names.

    Returns:
        The run; its ``summary`` has the results, its ``events`` and ``metrics`` the logs.

    Raises:
        ScenarioError: the scenario cannot be run as written; no folder is left behind.
        DataError: the data set is missing or damaged; no folder is left behind.
        RunFolderError: ``out`` is in use or cannot be written; no folder is left behind.
        ScheduleError: the strategy's schedule broke a rule; the folder's status is ``failed``.
        AflSimError: anything else failed; so is the folder's status.
        KeyboardInterrupt: Ctrl-C, or ``stop_wanted``; the folder's status is ``interrupted``.

    Example:
        >>> from afl_sim import load_scenario, simulate
        >>> run = simulate(load_scenario("scenarios/smallest.yaml"), timing_only=True)
        >>> run.summary["updates"]["aggregated"], run.status
        (60, 'complete')
    """
    scenario = single(scenario)
    observer = Observer(progress, stop_wanted, first_version)
    if out is not None:
        return _simulate(scenario, Path(out), timing_only, observer, command, executors)
    parent = Path(tempfile.mkdtemp(prefix="afl_sim-"))
    try:
        place = parent / run_name(scenario)
        made = _simulate(scenario, place, timing_only, observer, command, executors)
    except BaseException:
        shutil.rmtree(parent, ignore_errors=True)
        raise
    weakref.finalize(made, shutil.rmtree, parent, ignore_errors=True)
    return made


def _simulate(
    scenario: Scenario,
    out: Path,
    timing_only: bool,
    observer: Observer,
    command: Sequence[str] | None,
    executors: Executors | None,
) -> Run:
    began = perf_counter()
    check_before_data(scenario, timing_only)
    with _place_of_work(scenario, timing_only, executors, observer) as chosen:
        prepared = prepare(scenario, timing_only)
        check_attendance(scenario, prepared.partition.size)
        identity = identity_of(scenario, timing_only)
        with new_folder(out, prepared, identity, timing_only, command) as recorder:
            finished = run(prepared, recorder, chosen, observer, began=began)
            record(finished, recorder, prepared)
            try:
                finished.raise_error()
            finally:
                del finished  # its error's traceback holds this frame: together they would stay
    del prepared
    free_finished_runs()
    return load_run(recorder.folder.path)


def resume(
    path: Path | str,
    *,
    progress: Callable[[Progress], None] | None = None,
    stop_wanted: Callable[[], bool] | None = None,
    notice: Callable[[str], None] | None = None,
    execution: Execution | None = None,
    executors: Executors | None = None,
    force: bool = False,
) -> Run:
    """Continue an interrupted run. Its digests are those of a run without an interruption.

    The schedule is replayed up to the latest checkpoint. Without a checkpoint the run starts again
    from the beginning. A complete run is returned as it is. If its folder has lost small files,
    they are written again.

    Args:
        path: the run folder.
        progress: as for `simulate`; about ten times a second while the schedule is replayed.
        stop_wanted: as for `simulate`.
        notice: called with one line if a checkpoint is damaged.
        execution: where the rest of the tasks run; by default where they ran before.
        executors: as for `simulate`.
        force: continue even if the run was started with other code, data or numerics, or another
            scenario.

    Returns:
        The complete run, opened for reading.

    Raises:
        RunFolderError: the folder holds no run, or another process is writing to it; the run was
            started with other code, data or numerics, or another scenario; or a file is damaged
            that cannot be made again.
        AflSimError: the replayed schedule is not the one of the checkpoint, which is kept; or the
            run failed, as for `simulate`.
        KeyboardInterrupt: as for `simulate`.

    Example:
        >>> from afl_sim import load_scenario, simulate
        >>> from afl_sim.run.api import resume
        >>> run = simulate(load_scenario("scenarios/smallest.yaml"), timing_only=True)
        >>> resume(run.path).status  # it was complete already
        'complete'
    """
    bring_back(Path(path).parent, {Path(path).name})
    found = load_head(path)
    lost: list[str] = []
    if found.status == "complete":
        whole = load_run(path)
        tidy(whole)
        lost = lost_files(whole)
        if not lost:
            return whole
    began = perf_counter()
    scenario = load_scenario(found.path / "scenario.yaml")
    if execution is not None:
        scenario = scenario.model_copy(update={"execution": execution})
    timing_only = found.timing_only
    check_mode(scenario, timing_only)
    identity = identity_of(scenario, timing_only)
    if not force:
        _refuse_other(found, identity)
    if lost:
        restore(found, scenario, lost)
        return load_run(path)
    observer = Observer(progress, stop_wanted, notice=notice)
    with _place_of_work(scenario, timing_only, executors, observer) as chosen:
        prepared = prepare(scenario, timing_only)
        folder = RunFolder.open(found.path)
        with folder.locked():
            found = load_head(found.path)
            if found.status == "complete":  # another process has just gone on with it
                return load_run(found.path)
            manifest = _manifest(found, identity, force)
            with begun_folder(folder, prepared, manifest) as recorder:
                finished = run(prepared, recorder, chosen, observer, began=began, resume=True)
                record(finished, recorder, prepared)
                try:
                    finished.raise_error()
                finally:
                    del finished  # as in `_simulate`
    del prepared
    free_finished_runs()
    return load_run(folder.path)


@contextmanager
def _place_of_work(
    scenario: Scenario, timing_only: bool, executors: Executors | None, observer: Observer
) -> Iterator[Executors | None]:
    """The run's arithmetic, and workers if the scenario asks for some, while the block lasts.

    Workers start here, so that they get ready while the run is prepared. A run that trains nothing
    needs neither.
    """
    if timing_only:
        yield None
        return
    from afl_sim.run.place import place_of_work  # the door to PyTorch

    with place_of_work(scenario, executors, observer.stop_wanted) as chosen:
        yield chosen


def _refuse_other(found: recording.Run, identity: Identity) -> None:
    """Refuse to go on with a run that might not come to the same result here and now.

    Raises:
        RunFolderError: it was started with other code, data or numerics, or another scenario.
    """
    for what, values in identity.differences(found.manifest, found.timing_only).items():
        raise RunFolderError(
            f"{found.path} was started with {_WORDS[what]} ({values}), so its result may differ; "
            "--force goes on anyway"
        )


def _manifest(found: recording.Run, identity: Identity, force: bool) -> dict[str, object]:
    """The manifest of a run from here on."""
    again = {"numerics": identity.numerics, "code": identity.code, "forced": force}
    manifest = {**found.manifest, "resumed": [*(found.manifest.get("resumed") or []), again]}
    if force:
        manifest["scenario_id"] = identity.scenario
        if identity.data is not None:
            manifest["data"] = identity.data
    return manifest
