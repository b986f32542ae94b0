"""Evaluations written elsewhere while a run goes on: TensorBoard and MLflow.

The axis is virtual time. Both count steps in whole numbers, so a step is one microsecond of virtual
time, as in ``metrics.parquet``. The time of a point is virtual, too: TensorBoard's wall time is
virtual seconds since 1970 (its axis RELATIVE shows virtual hours), MLflow's timestamp milliseconds.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from afl_sim.errors import AflSimError, InputError
from afl_sim.recording.folder import TENSORBOARD
from afl_sim.recording.metrics import EvaluationRow
from afl_sim.user_code import reason


class Sink(Protocol):
    """Receives each evaluation during the run."""

    def evaluated(self, row: EvaluationRow, costs: Mapping[str, float]) -> None:
        """Take one evaluation, and what the run had used and cost until then, by column."""

    def close(self) -> None:
        """Finish; called once, however the run ended."""


def check_sinks(names: Sequence[str]) -> None:
    """Refuse sinks whose package is not installed.

    Raises:
        InputError: it is not; the message names the extra.
    """
    for name in names:
        if find_spec(name) is None:
            raise InputError(
                f"execution.sinks: {name} is not installed; the extra [{name}] installs it"
            )


def open_sinks(names: Sequence[str], folder: Path, scenario: Mapping[str, Any]) -> list[Sink]:
    """The sinks of a run. What they raise from then on is an `AflSimError`.

    Args:
        names: ``tensorboard``, ``mlflow``.
        folder: the run folder; TensorBoard's files go to ``tensorboard`` inside.
        scenario: the resolved scenario, which MLflow takes as parameters.

    Raises:
        InputError: the extra is not installed, or nothing can be written there.
    """
    check_sinks(names)
    opened: list[Sink] = []
    for name in sorted(names):  # MLflow first: its server may be away, and TensorBoard's files stay
        try:
            sink = (
                MlflowSink(scenario) if name == "mlflow" else TensorBoardSink(folder / TENSORBOARD)
            )
        except Exception as error:
            for other in opened:
                with suppress(AflSimError):
                    other.close()
            raise InputError(f"execution.sinks: {name} cannot start: {reason(error)}") from error
        opened.append(_OneError(name, sink))
    return opened


class _OneError:
    """A sink whose errors are raised as errors of this package."""

    def __init__(self, name: str, sink: Sink) -> None:
        self._name = name
        self._sink = sink

    def evaluated(self, row: EvaluationRow, costs: Mapping[str, float]) -> None:
        with self._told():
            self._sink.evaluated(row, costs)

    def close(self) -> None:
        with self._told():
            self._sink.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise AflSimError(
                f"{self._name} does not accept evaluations: {reason(error)}"
            ) from error


class TensorBoardSink:
    """An event file; ``tensorboard --logdir RUN`` shows it.

    Args:
        folder: where to; files of an earlier attempt are removed, since a run that is resumed tells
            its evaluations from the beginning.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        shutil.rmtree(folder, ignore_errors=True)
        self._writer = EventFileWriter(str(folder))

    def evaluated(self, row: EvaluationRow, costs: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(row, costs)]
        event = Event(wall_time=row.time_us / 1e6, step=row.time_us, summary=Summary(value=values))
        self._writer.add_event(event)

    def close(self) -> None:
        self._writer.close()


class MlflowSink:
    """A run of MLflow, in the experiment and at the tracking server that MLflow is set up for.

    Args:
        scenario: the resolved scenario; its settings are the run's parameters.
    """

    def __init__(self, scenario: Mapping[str, Any]) -> None:
        import mlflow

        self._client = mlflow.MlflowClient()
        name = mlflow.environment_variables.MLFLOW_EXPERIMENT_NAME.get() or "afl_sim"
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        run = self._client.create_run(experiment, run_name=str(scenario.get("name")))
        self._run = run.info.run_id
        for key, value in _parameters(scenario):
            self._client.log_param(self._run, key, value)

    def evaluated(self, row: EvaluationRow, costs: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        at = row.time_us // 1000
        metrics = [Metric(tag, value, at, row.time_us) for tag, value in scalars(row, costs)]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        self._client.set_terminated(self._run)


def scalars(row: EvaluationRow, costs: Mapping[str, float]) -> list[tuple[str, float]]:
    """The numbers of an evaluation by name: those of ``metrics.parquet``."""
    named: list[tuple[str, float | None]] = [
        ("accuracy", row.accuracy),
        *row.metrics.items(),
        ("loss", row.loss),
        ("version", row.version),
        ("updates", row.updates),
        ("samples", row.samples),
        *((f"class_accuracy/{n}", value) for n, value in enumerate(row.class_accuracy)),
        ("squared_gradient_norm", row.squared_gradient_norm),
        *costs.items(),
    ]
    return [(name, float(value)) for name, value in named if value is not None]


def _parameters(block: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a scenario by dotted key."""
    for key, value in block.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _parameters(value, f"{name}.")
        else:
            yield name, str(value)[:500]
