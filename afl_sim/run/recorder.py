"""The logs of a run in its folder."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any

from afl_sim.errors import AflSimError
from afl_sim.learning.training.evaluation import Evaluation
from afl_sim.recording import (
    EventLog,
    MetricsLog,
    Run,
    RunFolder,
    load_run,
    write_trace,
)
from afl_sim.recording.contents import first_rows
from afl_sim.recording.events import OPTIONAL, schema
from afl_sim.recording.shares import MOST_CLIENTS, partition_file
from afl_sim.recording.sinks import open_sinks
from afl_sim.run.preparation import Prepared
from afl_sim.scenario import Scenario


def shares_of(prepared: Prepared) -> bytes:
    """Who holds which samples, as the content of ``partition.parquet``."""
    counts = prepared.partition.label_counts(prepared.labels, prepared.classes, MOST_CLIENTS)
    return partition_file(counts)


def trace_of(run: Run, scenario: Scenario) -> None:
    """Write a run's ``trace.json``, if its scenario wants it."""
    if scenario.recording.trace:
        limit = scenario.recording.trace_limit
        folder = RunFolder.open(run.path)
        events, total = first_rows(folder.events_path, schema(), OPTIONAL, limit)
        write_trace(
            events,
            folder.trace_path,
            limit,
            metrics=run.metrics,
            name=scenario.name,
            total=total,
        )


class Recorder(AbstractContextManager["Recorder"]):
    """The logs of a run in its folder, and the sinks beside it.

    What `close` has not written by the end of a ``with`` block is dropped, and the sinks are closed
    whichever way it ends. Nothing that was in the folder before is touched until then.

    Raises:
        InputError: a sink cannot be had.
        AflSimError: the folder cannot be written.
    """

    def __init__(self, folder: RunFolder, scenario: Scenario) -> None:
        self.folder = folder
        self.metrics = MetricsLog(folder.metrics_path)
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
        self, time_us: int, version: int, updates: int, samples: int, evaluation: Evaluation
    ) -> None:
        """Take the numbers of one evaluation.

        Raises:
            AflSimError: the folder is gone, or a sink takes nothing.
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
        )

    def restore_evaluation(self, *row: Any) -> None:
        """Take the row of an evaluation, as the metrics log has it."""
        self.metrics.append(*row)
        for sink in self._sinks:
            sink.evaluated(self.metrics.rows[-1])

    def close(self) -> None:
        """Write what was logged; a reader sees each file whole or not at all.

        Raises:
            AflSimError: something could not be written; the end of the block closes the sinks.
        """
        self.events.close()
        self.metrics.close()
        while self._sinks:
            self._sinks.pop().close()

    def _drop_sinks(self) -> None:
        """Close the sinks that are open, when there is another error to report, or nothing."""
        while self._sinks:
            with suppress(AflSimError):
                self._sinks.pop().close()

    def write_trace(self) -> None:
        """Write ``trace.json``, if the scenario wants it."""
        trace_of(load_run(self.folder.path), self._scenario)
