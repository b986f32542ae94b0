"""The composition root: scenario -> world + strategy + executor + recorder -> run."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

from afl_sim.errors import InputError, RunFolderError, ScenarioError
from afl_sim.execution.code_digest import code_digest
from afl_sim.execution.numerics import check_device, deterministic, fingerprint
from afl_sim.recording import Run, RunFolder, build_manifest, load_head, load_run
from afl_sim.recording.files import write_bytes
from afl_sim.recording.fingerprints import numerics_differences
from afl_sim.recording.replacement import bring_back
from afl_sim.recording.sinks import check_sinks
from afl_sim.run.executors import Executors, executors_of
from afl_sim.run.kinds import catalogue
from afl_sim.run.preparation import prepare
from afl_sim.run.recorder import Recorder, shares_of
from afl_sim.run.run import Progress, Simulation, Watch
from afl_sim.run.upkeep import lost_files, restore, tidy
from afl_sim.scenario import Execution, Override, Scenario, Study, dump_scenario, scenario_id
from afl_sim.scenario import load_study as _load_study
from afl_sim.scenario.checks.combinations import only_accuracy

__all__ = [
    "Progress",
    "check_mode",
    "load_scenario",
    "load_study",
    "resume",
    "run_name",
    "simulate",
]


def load_study(
    source: Path | str,
    overrides: Sequence[str | Override] = (),
    seed: int | None = None,
    *,
    timing_only: bool = False,
    inspect: Callable[[Scenario], Iterable[tuple[tuple[str, ...], str]]] | None = None,
    base: Path | None = None,
) -> Study:
    """Read a scenario file: one case, or with ``sweep`` or ``replications`` several.

    Args:
        source: path of a YAML file.
        overrides: ``key.path=value`` settings that replace the file's; or as another file has them.
        seed: replaces the file's seed.
        timing_only: also refuse what cannot work without training.
        inspect: further checks of each case, as (key path, message).
        base: the folder from which paths in the file go out; None: its own.

    Raises:
        ScenarioError: one line for each mistake in the file.
    """
    return _load_study(
        source, catalogue(), overrides, seed, timing_only=timing_only, inspect=inspect, base=base
    )


def load_scenario(
    source: Path | str, overrides: Sequence[str] = (), seed: int | None = None
) -> Scenario:
    """Read a scenario file that describes a single run.

    Example:
        >>> from afl_sim import load_scenario
        >>> scenario = load_scenario("scenarios/smallest.yaml", ["stop.updates=20"])
        >>> scenario.strategy.kind, scenario.stop.updates
        ('fedbuff', 20)

    Raises:
        ScenarioError: one line for each mistake in the file; or it is a study.
    """
    study = load_study(source, overrides, seed)
    if study.is_study:
        raise ScenarioError(
            f"{source} is a study of {len(study.cases)} runs; run it with `afl-sim run`, or read "
            "it with afl_sim.run.api.load_study and simulate its cases one by one"
        )
    return study.cases[0].scenario


def run_name(scenario: Scenario) -> str:
    """The run folder's name: the scenario's name and identity."""
    return f"{scenario.name}-{scenario_id(scenario)}"


def simulate(
    scenario: Scenario | Path | str,
    out: Path | str | None = None,
    *,
    timing_only: bool = False,
    progress: Callable[[Progress], None] | None = None,
    stop_wanted: Callable[[], bool] | None = None,
    command: Sequence[str] | None = None,
    executors: Executors | None = None,
) -> Run:
    """Run a scenario and return its run folder, opened for reading.

    Args:
        scenario: a scenario, or the path of a file that describes a single run.
        out: the run folder, missing or empty; without it the folder is temporary and lives as long
            as the `Run`.
        timing_only: compute the schedule and train nothing.
        progress: called after each version and now and then in between.
        stop_wanted: asked after each version, and between events where none comes for a second;
            True breaks the run off there: after a version with a checkpoint, else with the last.
        command: the command line, for the manifest.
        executors: where tasks run (`afl_sim.run.executors`); by default as the scenario says.

    Example:
        >>> from afl_sim import load_scenario, simulate
        >>> run = simulate(load_scenario("scenarios/smallest.yaml"), timing_only=True)
        >>> run.summary["updates"]["aggregated"], run.status
        (60, 'complete')

    Raises:
        ScenarioError, DataError, RunFolderError: the input is wrong; nothing is left behind.
        ScheduleError: the strategy asked for something impossible; the folder says ``failed``.
        KeyboardInterrupt: passed on, after the folder was closed as ``interrupted``.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    watch = Watch(progress, stop_wanted)
    if out is not None:
        return _simulate(scenario, Path(out), timing_only, watch, command, executors)
    parent = Path(tempfile.mkdtemp(prefix="afl_sim-"))
    try:
        place = parent / run_name(scenario)
        run = _simulate(scenario, place, timing_only, watch, command, executors)
    except BaseException:
        shutil.rmtree(parent, ignore_errors=True)
        raise
    weakref.finalize(run, shutil.rmtree, parent, ignore_errors=True)
    return run


def _simulate(
    scenario: Scenario,
    out: Path,
    timing_only: bool,
    watch: Watch,
    command: Sequence[str] | None,
    executors: Executors | None,
) -> Run:
    began = perf_counter()
    check_mode(scenario, timing_only)
    check_sinks(scenario.execution.sinks)
    device = "cpu" if timing_only else scenario.numerics.device
    with deterministic(device), _chosen(scenario, timing_only, executors) as chosen:
        prepared = prepare(scenario, timing_only)
        numerics = fingerprint(scenario.numerics)
        manifest = build_manifest(
            numerics=numerics,
            cpu=numerics["cpu_capability"],
            command=command,
            timing_only=timing_only,
            code=code_digest(scenario),
            scenario_id=scenario_id(scenario),
        )
        folder = RunFolder.create(out, dump_scenario(scenario), manifest, shares_of(prepared))
        simulation = None
        with ExitStack() as held:
            try:
                held.enter_context(folder.locked())
                with Recorder(folder, scenario) as recorder:
                    simulation = Simulation(scenario, prepared, recorder, chosen, watch)
                    simulation.run(began)
            except BaseException as error:
                wrong_input = isinstance(error, InputError)
                if simulation is None or (wrong_input and not simulation.begun):
                    folder.discard()  # nothing was run
                raise
    return load_run(folder.path)


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
    """Continue a run that was broken off, to the digests that it would have had.

    The schedule is replayed up to the latest checkpoint; where there is none the run begins anew.
    Of a finished run the small files that it has lost are made again.

    Args:
        path: the run folder.
        progress, stop_wanted: as for `simulate`.
        notice: told in one line if a checkpoint is damaged.
        execution: where tasks run from here on; by default where they did.
        executors: as for `simulate`.
        force: go on even if this is other code, other numerics or another scenario than began the
            run.

    Raises:
        RunFolderError: there is no such run, another process is writing it, it was begun by other
            code, with other numerics or from another scenario than its folder has now, or a file
            is damaged that cannot be made again.
        AflSimError: the schedule is not the one that the checkpoint was taken in; it is kept.
    """
    bring_back(Path(path).parent, {Path(path).name})
    found = load_head(path)
    lost: list[str] = []
    if found.status == "complete":
        found = load_run(path)
        tidy(found)
        lost = lost_files(found)
        if not lost:
            return found
    began = perf_counter()
    scenario = load_scenario(found.path / "scenario.yaml")
    if execution is not None:
        scenario = scenario.model_copy(update={"execution": execution})
    timing_only = found.timing_only
    check_mode(scenario, timing_only)
    numerics, identity = fingerprint(scenario.numerics), scenario_id(scenario)
    others = {
        "other numerics": numerics_differences(found.manifest.get("numerics"), numerics),
        "other code": _unlike(found.manifest.get("code"), code_digest(scenario)),
        "another scenario": _unlike(found.manifest.get("scenario_id", identity), identity),
    }
    if timing_only:  # a schedule is the same in all numerics
        del others["other numerics"]
    for what, differing in others.items():
        if differing and not force:
            raise RunFolderError(
                f"{found.path} was begun with {what} ({differing}), so the result might not be the "
                "same; --force goes on nevertheless"
            )
    if lost:
        restore(found, scenario, lost)
        return load_run(path)
    device = "cpu" if timing_only else scenario.numerics.device
    with deterministic(device), _chosen(scenario, timing_only, executors) as chosen:
        prepared = prepare(scenario, timing_only)
        folder = RunFolder.open(found.path)
        with folder.locked():
            found = load_head(found.path)
            if found.status == "complete":  # another process has gone on with it just now
                return load_run(found.path)
            with Recorder(folder, scenario) as recorder:
                folder.forget_results()
                write_bytes(folder.partition_path, shares_of(prepared))
                again = {"numerics": numerics, "code": code_digest(scenario), "forced": force}
                resumed = [*(found.manifest.get("resumed") or []), again]
                manifest = {**found.manifest, "resumed": resumed}
                if force:
                    manifest["scenario_id"] = identity  # which it is a run of from here on
                folder.write_json("manifest.json", manifest)
                watch = Watch(progress, stop_wanted, notice)
                Simulation(scenario, prepared, recorder, chosen, watch, resume=True).run(began)
    return load_run(folder.path)


def _unlike(then: Any, now: Any) -> str:
    """Both values where they differ, else nothing."""
    return "" if then == now else f"{then}, here {now}"


def _chosen(
    scenario: Scenario, timing_only: bool, executors: Executors | None
) -> AbstractContextManager[Executors | None]:
    """Where a run's tasks go: nowhere, where the caller says, or where the scenario says."""
    if timing_only or executors is not None:
        return nullcontext(None if timing_only else executors)
    return executors_of(scenario.execution, [scenario.numerics])


def check_mode(scenario: Scenario, timing_only: bool) -> None:
    """Refuse what a run cannot do without training, or on this machine.

    Raises:
        ScenarioError: the strategy reads results, or accuracy is the only stop rule; or there is
            no GPU to train on.
    """
    if not timing_only:
        check_device(scenario.numerics.device)
        return
    strategy: Any = scenario.strategy
    if scenario.server.selection.reads_results:
        raise ScenarioError(
            f"server.selection: {scenario.server.selection.kind} reads training results to choose "
            "clients; it cannot run with --timing-only"
        )
    if strategy.reads_results:
        raise ScenarioError(
            f"strategy: {strategy.kind} reads training results to decide its schedule; "
            "it cannot run with --timing-only"
        )
    if only_accuracy(scenario.stop):
        raise ScenarioError(
            "stop: accuracy is the only rule, and a run with --timing-only never reaches it; "
            "expected virtual_seconds, versions, updates or samples as well"
        )
