"""The metrics log: one row per evaluation of the global model.

A number that is absent or not finite is null. Parquet's statistics leave NaN out, so readers that
trust them lose rows; what was not finite is said in words, in ``status``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from afl_sim.recording.files import replacing

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


OPTIONAL: Final = ("accuracy", "loss", "class_accuracy", "squared_gradient_norm")
"""Columns in which a value may be absent."""

OK: Final = "ok"
DIVERGED: Final = "diverged"
GRADIENT_DIVERGED: Final = "gradient diverged"

LATER: Final = ("status",)
"""Columns that older run folders do not have."""

BY_CLIENT: Final = "client_"
"""How the column of a metric's values for each client begins."""

_NONE: Final[dict[str, Any]] = {}


class EvaluationRow(NamedTuple):
    """One evaluation: when, after how much work, and how good the model was.

    No number in it is NaN or infinite. ``status`` says why one is missing: `DIVERGED` where the
    loss was not finite, and then the model has no numbers at all; `GRADIENT_DIVERGED` where only
    the gradient's norm was not finite; else `OK`. ``metrics`` are those besides accuracy, by name;
    ``clients`` has the values of each client, by name.
    """

    time_us: int
    version: int
    updates: int
    samples: int
    accuracy: float | None
    loss: float | None
    class_accuracy: tuple[float | None, ...]
    squared_gradient_norm: float | None = None
    status: str = OK
    metrics: Mapping[str, float | None] = _NONE
    clients: Mapping[str, Sequence[float | None]] = _NONE

    def value(self, name: str) -> float | None:
        """A metric by its name, or the loss; None if it has no value."""
        if name in {"accuracy", "loss"}:
            return self.accuracy if name == "accuracy" else self.loss
        return self.metrics.get(name)


class MetricsLog:
    """A run's evaluations, kept in memory and written as Parquet on `close`.

    Args:
        path: the Parquet file to write; None writes nothing.

    Attributes:
        rows: the evaluations so far.
        costs: by (time_us, version) of an evaluation, what the run had used and cost until then, by
            column. They are written beside the evaluations.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.rows: list[EvaluationRow] = []
        self.costs: Mapping[tuple[int, int], Mapping[str, float]] = {}
        self._closed = False

    def append(
        self,
        time_us: int,
        version: int,
        updates: int,
        samples: int,
        accuracy: float | None,
        loss: float | None,
        class_accuracy: Sequence[float | None] = (),
        squared_gradient_norm: float | None = None,
        status: str | None = None,
        metrics: Mapping[str, float | None] = _NONE,
        clients: Mapping[str, Sequence[float | None]] = _NONE,
    ) -> None:
        """Log one evaluation. A number that is not finite becomes None.

        Args:
            time_us: virtual time in microseconds.
            version: the version of the model that was evaluated.
            updates: updates aggregated so far.
            samples: samples trained so far, of aggregated updates.
            accuracy: share of right answers, 0 to 1; None where it is not measured.
            loss: mean loss per sample.
            class_accuracy: share of right answers of each class, 0 to 1; None or NaN for a class
                without samples.
            squared_gradient_norm: of the training objective; None where it was not asked for.
            status: of a row that was logged before; by default it follows from the numbers.
            metrics: the other metrics by name; None or NaN for one that is not defined.
            clients: the values of each client by name of the metric.
        """
        if status is None:
            status = OK
            if loss is not None and not math.isfinite(loss):
                status = DIVERGED
                accuracy, class_accuracy = None, [None] * len(class_accuracy)
                squared_gradient_norm = None
                metrics = dict.fromkeys(metrics)
                clients = {name: [None] * len(values) for name, values in clients.items()}
            elif squared_gradient_norm is not None and not math.isfinite(squared_gradient_norm):
                status = GRADIENT_DIVERGED
        self.rows.append(
            EvaluationRow(
                time_us,
                version,
                updates,
                samples,
                _finite(accuracy),
                _finite(loss),
                tuple(map(_finite, class_accuracy)),
                _finite(squared_gradient_norm),
                status,
                {name: _finite(value) for name, value in metrics.items()},
                {name: tuple(map(_finite, values)) for name, values in clients.items()},
            )
        )

    def __len__(self) -> int:
        return len(self.rows)

    def table(self) -> pa.Table:
        """The evaluations in the columns of ``metrics.parquet``."""
        import pyarrow as pa

        if not self.rows:
            return pa.Table.from_batches([], schema())
        table: dict[str, pa.Array] = {}
        for column in schema():
            values = [getattr(row, column.name) for row in self.rows]
            table[column.name] = pa.array(values, type=column.type)
        for name in dict.fromkeys(name for row in self.rows for name in row.metrics):
            table[name] = pa.array([row.metrics.get(name) for row in self.rows], pa.float64())
        costs = [self.costs.get((row.time_us, row.version), _NONE) for row in self.rows]
        for name in dict.fromkeys(name for each in costs for name in each):
            table[name] = pa.array([each.get(name) for each in costs], pa.float64())
        for name in dict.fromkeys(name for row in self.rows for name in row.clients):
            values = [row.clients.get(name) for row in self.rows]
            table[BY_CLIENT + name] = pa.array(values, pa.list_(pa.float64()))
        return pa.table(table)

    def frame(self) -> pd.DataFrame:
        """The evaluations as `Run.metrics` gives them."""
        return to_frame(self.table())

    def close(self) -> None:
        """Write the file; a second call does nothing.

        Raises:
            AflSimError: the file cannot be written; nothing is left behind.
        """
        if self._closed or self.path is None:
            return
        import pyarrow.parquet as pq

        with replacing(self.path) as handle:
            pq.write_table(self.table(), handle, compression="zstd")
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()


def schema() -> pa.Schema:
    """The Arrow schema of ``metrics.parquet``."""
    import pyarrow as pa

    return pa.schema(
        {
            "time_us": pa.int64(),
            "version": pa.int64(),
            "updates": pa.int64(),
            "samples": pa.int64(),
            "accuracy": pa.float64(),
            "loss": pa.float64(),
            "class_accuracy": pa.list_(pa.float64()),
            "squared_gradient_norm": pa.float64(),
            "status": pa.string(),
        }
    )


def further_columns(found: pa.Schema) -> pa.Schema:
    """The columns of metrics and of metrics by client, in a file with these columns."""
    import pyarrow as pa
    from pyarrow import types

    known, further = schema(), {}
    for column in found:
        if column.name in known.names:
            continue
        if types.is_floating(column.type) or types.is_null(column.type):
            further[column.name] = pa.float64()
        elif column.name.startswith(BY_CLIENT) and (
            types.is_list(column.type) or types.is_large_list(column.type)
        ):
            further[column.name] = pa.list_(pa.float64())
    return pa.schema(further)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A metrics table as pandas, where a null is NaN."""
    frame = table.to_pandas(use_threads=False)
    if "status" not in frame:  # an older run folder, which left evaluations that diverged out
        frame["status"] = OK
    return frame


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
