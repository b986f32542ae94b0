"""The run folder while a run goes on: made or opened, locked, and its logs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from afl_sim.errors import AflSimError
from afl_sim.machine import cpu_vendor
from afl_sim.recording import (
    EventLog,
    MetricsLog,
    Run,
    RunFolder,
    build_manifest,
    load_run,
    write_trace,
)
from afl_sim.recording.event_table import COLUMNS
from afl_sim.recording.files import write_bytes
from afl_sim.recording.metrics import EvaluationRow
from afl_sim.recording.parquet import first_rows
from afl_sim.recording.shares import MOST_CLIENTS, partition_file
from afl_sim.recording.sinks import open_sinks
from afl_sim.run.identity import Identity, processor
from afl_sim.run.preparation import Prepared
from afl_sim.scenario import Scenario, dump_scenario
from afl_sim.world.microseconds import MICROSECONDS

if TYPE_CHECKING:
    from afl_sim.learning.training.judging import Scores


def shares_of(prepared: Prepared) -> bytes:
    """The samples that each client holds, as the content of ``partition.parquet``."""
    counts = prepared.partition.label_counts(
        prepared.samples.labels, prepared.samples.classes, MOST_CLIENTS
    )
    return partition_file(counts)


def trace_of(
    run: Run,
    scenario: Scenario,
    measured: str,
    evaluations: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Write a run's ``trace.json``, with a counter of one metric, if its scenario asks for one.

    Args:
        run: the run.
        scenario: the run's.
        measured: the metric.
        evaluations: its values, and their ``time_us``; None to read them.
    """
    recording = scenario.recording
    if not recording.trace:
        return
    begin_us, end_us = 0, None
    if recording.trace_window is not None:
        begin_us, end_us = (round(edge * MICROSECONDS) for edge in recording.trace_window)
    before, last = run.rows_within(begin_us, end_us, recording.trace_limit)
    write_trace(
        first_rows(run.event_tables(*COLUMNS, "context"), last),
        RunFolder.open(run.path).trace_path,
        metrics=run.metrics if evaluations is None else evaluations,
        name=scenario.name,
        total=run.event_count,
        measured=measured,
        begin_us=begin_us,
        drawn=last - before,
    )


class Recorder(AbstractContextManager["Recorder"]):
    """The logs of a run in its folder, and the sinks that get its evaluations.

    A ``with`` block closes the sinks however it ends, and drops what `close` has not written by
    then. Until `close`, the files that were in the folder before are left alone.

    Args:
        folder: the run's, locked.
        scenario: the run's.

    Attributes:
        folder: the run's.
        events: the event log.
        metrics: the log of evaluations.
        keep: whether a new folder stays if the run raises an error. It does once the clock turns,
            unless the input turns out to be wrong before there is a version.

    Raises:
        InputError: a sink cannot be opened.
        AflSimError: the folder cannot be written.
    """

    def __init__(self, folder: RunFolder, scenario: Scenario) -> None:
        self.folder = folder
        self.keep = False
        self.metrics = MetricsLog(folder.metrics_path)
        self._untold: deque[EvaluationRow] = deque()
        self._counted: bool | None = None  # it is not known until the schedule begins
        self._scenario = scenario
        described = scenario.model_dump(mode="json", by_alias=True)
        self._sinks = open_sinks(scenario.execution.sinks, folder.path, described)
        try:
            self.events = EventLog(folder.events_path)
        except BaseException:
            self._drop_sinks()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._drop_sinks()
        self.events.abort()

    def add_evaluation(
        self, time_us: int, version: int, updates: int, samples: int, evaluation: Scores
    ) -> None:
        """Log one evaluation, and pass it on to the sinks.

        Raises:
            AflSimError: the folder is gone, or a sink fails.
        """
        self.folder.check_there()
        self.restore_evaluation(
            time_us,
            version,
            updates,
            samples,
            evaluation.accuracy,
            evaluation.loss,
            evaluation.class_accuracy,
            evaluation.squared_gradient_norm,
            None,
            evaluation.metrics,
            evaluation.clients,
        )

    def restore_evaluation(self, *row: Any) -> None:
        """Log an evaluation that is given as a row of the metrics log."""
        self.metrics.append(*row)
        self._untold.append(self.metrics.rows[-1])
        self._tell()

    def count(self, costs: Mapping[tuple[int, int], Mapping[str, float]] | None) -> None:
        """The schedule begins.

        Args:
            costs: what it will have used and cost until each evaluation, as in `MetricsLog`; None
                if that is not counted.
        """
        self._counted = costs is not None
        self.metrics.costs = {} if costs is None else costs
        self._tell()

    def _tell(self) -> None:
        """Pass evaluations on to the sinks.

        What a run had used until an evaluation that a checkpoint holds is known only when the
        schedule has been replayed until then.
        """
        while self._untold:
            row = self._untold[0]
            costs = self.metrics.costs.get((row.time_us, row.version))
            if costs is None and self._counted is not False:
                return
            self._untold.popleft()
            for sink in self._sinks:
                sink.evaluated(row, costs or {})

    def close(self) -> None:
        """Write the logs; a reader sees each file whole or not at all.

        Raises:
            AflSimError: a file could not be written.
        """
        self.events.close()
        self._tell()
        self.metrics.close()
        while self._sinks:
            self._sinks.pop().close()

    def _drop_sinks(self) -> None:
        """Close the sinks that are still open; another error, if any, is the one to report."""
        while self._sinks:
            with suppress(AflSimError):
                self._sinks.pop().close()

    def write_trace(self, measured: str) -> None:
        """Write ``trace.json``, with a counter of one metric, if the scenario asks for it."""
        rows = self.metrics.rows
        evaluations: dict[str, Sequence[Any]] = {
            "time_us": [row.time_us for row in rows],
            measured: [row.value(measured) for row in rows],
        }
        trace_of(load_run(self.folder.path), self._scenario, measured, evaluations)


@contextmanager
def new_folder(
    place: Path,
    prepared: Prepared,
    identity: Identity,
    timing_only: bool,
    command: Sequence[str] | None,
) -> Iterator[Recorder]:
    """Make the folder of a new run, and hold it while the block lasts.

    If the block raises an error, the folder is removed again, unless `Recorder.keep` is set.

    Args:
        place: where; missing, or an empty folder.
        prepared: what the run starts from.
        identity: goes to the manifest.
        timing_only: whether the run trains nothing.
        command: the command line, for the manifest.

    Raises:
        RunFolderError: something is in the way, or the folder cannot be written.
        InputError: a sink cannot be opened.
    """
    manifest = build_manifest(
        numerics=identity.numerics,
        cpu=processor(timing_only),
        cpu_vendor=cpu_vendor(),
        command=command,
        timing_only=timing_only,
        code=identity.code,
        scenario_id=identity.scenario,
        **({} if identity.data is None else {"data": identity.data}),
    )
    scenario = prepared.scenario
    folder = RunFolder.create(place, dump_scenario(scenario), manifest, shares_of(prepared))
    recorder = None
    with ExitStack() as held:
        try:
            held.enter_context(folder.locked())
            with Recorder(folder, scenario) as recorder:
                yield recorder
        except BaseException:
            if recorder is None or not recorder.keep:
                folder.discard()
            raise


@contextmanager
def begun_folder(
    folder: RunFolder, prepared: Prepared, manifest: Mapping[str, Any]
) -> Iterator[Recorder]:
    """Open the folder of an unfinished run again, and hold its logs while the block lasts.

    The results that the run has left are removed, except its checkpoints.

    Args:
        folder: the run's, locked.
        prepared: what the run starts from.
        manifest: the content of its ``manifest.json`` from here on.

    Raises:
        InputError: a sink cannot be opened.
        AflSimError: the folder cannot be written.
    """
    with Recorder(folder, prepared.scenario) as recorder:
        folder.forget_results()
        write_bytes(folder.partition_path, shares_of(prepared))
        folder.write_json("manifest.json", manifest)
        yield recorder
