"""The logs of a run in its folder."""

from __future__ import annotations

from typing import Any

from afl_sim.learning.evaluation import Evaluation
from afl_sim.preparation import Prepared
from afl_sim.recording import (
    EventLog,
    MetricsLog,
    RunFolder,
    load_run,
    write_partition,
    write_trace,
)
from afl_sim.recording.shares import MOST_CLIENTS
from afl_sim.recording.sinks import open_sinks
from afl_sim.scenario import Scenario


class Recorder:
    """The logs of a run in its folder."""

    def __init__(self, folder: RunFolder, scenario: Scenario) -> None:
        self.folder = folder
        self.events = EventLog(folder.events_path)
        self.metrics = MetricsLog(folder.metrics_path)
        self._settings = scenario.recording
        self._name = scenario.name
        described = scenario.model_dump(mode="json", by_alias=True)
        self._sinks = open_sinks(scenario.execution.sinks, folder.path, described)

    def add_evaluation(
        self, time_us: int, version: int, updates: int, samples: int, evaluation: Evaluation
    ) -> None:
        """Take the numbers of one evaluation."""
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

    def write_partition(self, prepared: Prepared) -> None:
        """Write who holds which samples."""
        counts = prepared.partition.label_counts(prepared.labels, prepared.classes, MOST_CLIENTS)
        write_partition(self.folder.partition_path, counts)

    def close(self) -> None:
        """Write what was logged; a reader sees each file whole or not at all."""
        self.events.close()
        self.metrics.close()
        for sink in self._sinks:
            sink.close()
        self._sinks = []

    def write_trace(self) -> None:
        """Write ``trace.json``, if the scenario wants it."""
        if self._settings.trace:
            run = load_run(self.folder.path)
            events, total = run.first_events(self._settings.trace_limit)
            write_trace(
                events,
                self.folder.trace_path,
                self._settings.trace_limit,
                metrics=run.metrics,
                name=self._name,
                total=total,
            )
