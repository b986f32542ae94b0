"""The composition root: scenario -> world + strategy + executor + recorder -> run."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from afl_sim.catalogue import catalogue
from afl_sim.errors import DivergedError, ScenarioError
from afl_sim.execution.inline import InlineExecutor
from afl_sim.execution.learner import TrainingLearner
from afl_sim.execution.null import NullLearner
from afl_sim.execution.numerics import deterministic, fingerprint, model_digest
from afl_sim.execution.processes import ProcessExecutor
from afl_sim.execution.tasks import Executor
from afl_sim.learning.datasets import stored_pool
from afl_sim.learning.evaluation import Evaluation
from afl_sim.learning.parameters import ParameterVector
from afl_sim.preparation import Prepared, build_runner, prepare, recipe_of, worker_runner
from afl_sim.recording import (
    EventLog,
    MetricsLog,
    Run,
    RunFolder,
    build_manifest,
    load_run,
    write_trace,
)
from afl_sim.scenario import Scenario, Study, dump_scenario, scenario_id
from afl_sim.scenario import load_study as _load_study
from afl_sim.summary import summarize
from afl_sim.world.clock import MICROSECONDS
from afl_sim.world.world import Ending, World


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        seconds: virtual time.
        version: the server's version.
        updates, samples: aggregated so far.
        accuracy: of the last evaluation, or None.
    """

    seconds: float
    version: int
    updates: int
    samples: int
    accuracy: float | None


def load_study(
    source: Path | str,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    *,
    timing_only: bool = False,
    inspect: Callable[[Scenario], Iterable[tuple[tuple[str, ...], str]]] | None = None,
) -> Study:
    """Read a scenario file: one case, or with ``sweep`` or ``replications`` several.

    Args:
        source: path of a YAML file.
        overrides: ``key.path=value`` settings that replace the file's.
        seed: replaces the file's seed.
        timing_only: also refuse what cannot work without training.
        inspect: further checks of each case, as (key path, message).

    Raises:
        ScenarioError: one line for each mistake in the file.
    """
    return _load_study(
        source, catalogue(), overrides, seed, timing_only=timing_only, inspect=inspect
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
            "it with afl_sim.simulation.load_study and simulate its cases one by one"
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
    command: Sequence[str] | None = None,
) -> Run:
    """Run a scenario and return its run folder, opened for reading.

    Args:
        scenario: a scenario, or the path of a file that describes a single run.
        out: the run folder, missing or empty; without it the folder is temporary and lives as long
            as the `Run`.
        timing_only: compute the schedule and train nothing.
        progress: called after each version and now and then in between.
        command: the command line, for the manifest.

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
    if out is not None:
        return _simulate(scenario, Path(out), timing_only, progress, command)
    parent = Path(tempfile.mkdtemp(prefix="afl_sim-"))
    try:
        run = _simulate(scenario, parent / run_name(scenario), timing_only, progress, command)
    except BaseException:
        shutil.rmtree(parent, ignore_errors=True)
        raise
    weakref.finalize(run, shutil.rmtree, parent, ignore_errors=True)
    return run


def _simulate(
    scenario: Scenario,
    out: Path,
    timing_only: bool,
    progress: Callable[[Progress], None] | None,
    command: Sequence[str] | None,
) -> Run:
    began = perf_counter()
    check_mode(scenario, timing_only)
    with deterministic():
        prepared = prepare(scenario, timing_only)
        numerics = fingerprint(scenario.numerics)
        manifest = build_manifest(
            numerics=numerics,
            cpu=numerics["cpu_capability"],
            command=command,
            timing_only=timing_only,
        )
        folder = RunFolder.create(out, dump_scenario(scenario), manifest)
        try:
            recorder = _Recorder(folder, scenario)
        except BaseException:
            folder.discard()
            raise
        _Simulation(scenario, prepared, recorder, timing_only, progress).run(began)
    return load_run(folder.path)


def check_mode(scenario: Scenario, timing_only: bool) -> None:
    """Refuse what a run without training cannot do.

    Raises:
        ScenarioError: the strategy reads results, or accuracy is the only stop rule.
    """
    if not timing_only:
        return
    strategy: Any = scenario.strategy
    if strategy.reads_results:
        raise ScenarioError(
            f"strategy: {strategy.kind} reads training results to decide its schedule; "
            "it cannot run with --timing-only"
        )
    stop = scenario.stop
    if (stop.virtual_seconds, stop.versions, stop.updates, stop.samples) == (None,) * 4:
        raise ScenarioError(
            "stop: accuracy is the only rule, and a run with --timing-only never reaches it; "
            "expected virtual_seconds, versions, updates or samples as well"
        )


class _Recorder:
    """The logs of a run in its folder."""

    def __init__(self, folder: RunFolder, scenario: Scenario) -> None:
        self.folder = folder
        self.events = EventLog(folder.events_path)
        self.metrics = MetricsLog(folder.metrics_path)
        self._settings = scenario.recording
        self._name = scenario.name

    def add_evaluation(
        self, time_us: int, version: int, updates: int, samples: int, evaluation: Evaluation
    ) -> None:
        """Take the numbers of one evaluation."""
        self.metrics.append(
            time_us,
            version,
            updates,
            samples,
            evaluation.accuracy,
            evaluation.loss,
            evaluation.class_accuracy,
        )

    def close(self) -> None:
        """Write what was logged; a reader sees each file whole or not at all."""
        self.events.close()
        self.metrics.close()

    def write_trace(self) -> None:
        """Write ``trace.json``, if the scenario wants it."""
        if self._settings.trace:
            run = load_run(self.folder.path)
            write_trace(
                run.events,
                self.folder.trace_path,
                self._settings.trace_limit,
                metrics=run.metrics,
                name=self._name,
            )


def _executor(scenario: Scenario, prepared: Prepared) -> Executor:
    """Where the scenario has its tasks run."""
    assert prepared.dataset is not None
    recipe = recipe_of(scenario)
    if scenario.execution.executor == "inline":
        return InlineExecutor(*build_runner(recipe, prepared.dataset, prepared.partition))
    recipe = replace(recipe, stored=stored_pool(scenario.data))
    return ProcessExecutor(partial(worker_runner, recipe), scenario.execution.workers)


class _Simulation:
    """One run: builds the parts, turns the clock, writes the results."""

    def __init__(
        self,
        scenario: Scenario,
        prepared: Prepared,
        recorder: _Recorder,
        timing_only: bool,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._scenario = scenario
        self._recorder = recorder
        self._progress = progress
        self._layout: ParameterVector = prepared.layout
        strategy: Any = scenario.strategy
        size = prepared.partition.size
        self._learner: TrainingLearner | None = None
        self._executor: Executor | None = None
        if not timing_only:
            self._executor = _executor(scenario, prepared)
            self._learner = TrainingLearner(
                strategy,
                self._executor,
                prepared.initial,
                self._layout.num_parameters,
                size,
                scenario.training.lr_schedule.factor,
                recorder.add_evaluation,
            )
        self._world = World(
            scenario,
            strategy,
            size,
            self._layout.num_bytes,
            self._learner or NullLearner(),
            recorder.events.append,
            self._report if progress is not None else None,
        )

    def run(self, began: float) -> None:
        """Turn the clock to the end and write the folder's files."""
        try:
            self._run(began)
        finally:
            if self._executor is not None:
                self._executor.close()

    def _run(self, began: float) -> None:
        try:
            ending = self._world.run()
        except DivergedError as error:
            self._finish("diverged", self._now(), began, str(error))
        except KeyboardInterrupt:
            self._finish("interrupted", self._now(), began)
            raise
        except Exception as error:
            # What can still be written is; the error that came first is the one to report.
            with suppress(Exception):
                self._finish("failed", self._now(), began, str(error) or type(error).__name__)
            raise
        else:
            self._finish("complete", ending, began)

    def _now(self) -> Ending:
        return Ending(self._world.time_us, "none")

    def _settle(self) -> None:
        """Report the evaluation that was under way when the run broke off."""
        if self._learner is not None:
            with suppress(DivergedError):
                self._learner.settle()

    def _finish(self, status: str, ending: Ending, began: float, reason: str | None = None) -> None:
        recorder, learner = self._recorder, self._learner
        self._settle()
        recorder.close()
        if learner is not None and status == "complete":
            named = self._layout.named(learner.vector)
            recorder.folder.write_model({name: part.numpy() for name, part in named.items()})
        recorder.write_trace()
        server = self._world.server
        executor = self._executor
        summary = summarize(
            name=self._scenario.name,
            status=status,
            stopped_by=ending.rule,
            time_us=ending.time_us,
            versions=server.version,
            counts=server.counts,
            in_flight_us=sum(ending.time_us - task.sent_us for task in server.in_flight),
            evaluations=recorder.metrics.rows,
            targets=self._scenario.evaluation.targets,
        )
        if reason is not None:
            summary["reason"] = reason
        if learner is not None and learner.divergence is not None:
            summary["diverged"] = {
                "version": learner.divergence.version,
                "client": learner.divergence.client,
            }
        summary["schedule_digest"] = recorder.events.schedule_digest
        summary["model_digest"] = None if learner is None else model_digest(learner.vector)
        summary["wall_seconds"] = {
            "total": perf_counter() - began,
            "training": executor.training_seconds if executor else 0.0,
            "evaluation": executor.evaluation_seconds if executor else 0.0,
            "waiting": executor.waiting_seconds if executor else 0.0,
        }
        summary["numerics"] = fingerprint(self._scenario.numerics)
        recorder.folder.write_summary(summary)

    def _report(self) -> None:
        assert self._progress is not None
        rows = self._recorder.metrics.rows
        counts = self._world.server.counts
        self._progress(
            Progress(
                self._world.time_us / MICROSECONDS,
                self._world.server.version,
                counts.aggregated,
                counts.samples,
                rows[-1].accuracy if rows else None,
            )
        )
