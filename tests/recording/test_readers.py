"""The tables of a run folder, read by the common readers of Parquet, and not by pyarrow alone."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import fastparquet
import numpy as np
import pandas as pd
import polars
import pyarrow.compute as compute
import pyarrow.parquet as pq
import pytest

from afl_sim.recording import EventLog, MetricsLog, write_partition
from afl_sim.recording.event_table import COLUMNS
from afl_sim.world.event_kinds import AGGREGATED, ARRIVED, DISPATCHED, KIND_NAMES

Columns = dict[str, list[Any]]

MONTH = 30 * 86_400 * 1_000_000  # in microseconds
ROWS = 20_000  # more than two blocks, which are row groups here


def with_pyarrow(path: Path) -> Columns:
    return pq.read_table(path).to_pydict()


def with_fastparquet(path: Path) -> Columns:
    frame = fastparquet.ParquetFile(str(path)).to_pandas()
    return {name: [plain(value) for value in frame[name]] for name in frame.columns}


def with_polars(path: Path) -> Columns:
    return polars.read_parquet(path).to_dict(as_series=False)


def with_duckdb(path: Path) -> Columns:
    found = duckdb.read_parquet(str(path))
    columns = zip(*found.fetchall(), strict=True)
    return dict(zip(found.columns, map(list, columns), strict=True))


def plain(value: Any) -> Any:
    """A cell of a pandas frame as pyarrow would give it."""
    if isinstance(value, list | np.ndarray):
        return list(value)
    return None if pd.isna(value) else value


READERS: dict[str, Callable[[Path], Columns]] = {
    "pyarrow": with_pyarrow,
    "fastparquet": with_fastparquet,
    "polars": with_polars,
    "duckdb": with_duckdb,
}


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Columns]:
    """A log of large and small steps in every column that can have them, and what is in it."""
    path = tmp_path_factory.mktemp("events") / "events.parquet"
    draw = random.Random(1)
    columns: Columns = {name: [] for name in ("seq", *COLUMNS, "context")}
    time_us = 0
    with pytest.MonkeyPatch.context() as patch, EventLog(path) as log:
        patch.setattr("afl_sim.recording.events._BLOCKS_PER_ROW_GROUP", 1)
        for seq in range(ROWS):
            time_us += draw.choice((0, 1, 10**6, draw.randrange(MONTH), 12 * MONTH))
            kind = draw.choice((DISPATCHED, ARRIVED, AGGREGATED))
            row = (
                time_us,
                kind,
                draw.choice((0, 10**12)),
                draw.choice((0, seq)),
                seq,
                draw.choice((-1, 0, seq)),
                draw.choice((-1, 0, seq)),
                draw.choice((0, draw.randrange(2**50))),
                draw.choice((-1, 1, 2**50)),
                draw.choice((-1, 600, draw.randrange(2**50))),
            )
            context = f'{{"tier": {seq}}}' if seq % 1000 == 0 else None
            log.append(*row, context)
            cells = (seq, *row[:1], KIND_NAMES[kind], *row[2:], context)
            for column, cell in zip(columns.values(), cells, strict=True):
                column.append(None if cell == -1 else cell)
    assert pq.ParquetFile(path).num_row_groups == 3
    return path, columns


@pytest.mark.parametrize("reader", READERS)
def test_events_with_steps_of_months_read_back_as_they_were(
    reader: str, events: tuple[Path, Columns]
) -> None:
    path, logged = events
    read = READERS[reader](path)
    assert list(read) == list(logged)
    wrong = {name: sum(map(not_equal, read[name], logged[name])) for name in logged}
    assert wrong == dict.fromkeys(logged, 0)
    assert all(len(column) == ROWS for column in read.values())


def not_equal(one: Any, other: Any) -> bool:
    return bool(one != other)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluations: one whole, one with a class that has no samples, one that diverged."""
    path = tmp_path_factory.mktemp("metrics") / "metrics.parquet"
    log = MetricsLog(path)
    log.append(0, 0, 0, 0, 0.25, 2.0, [0.0, 0.5], 4.0)
    log.append(12 * MONTH, 1, 5, 100, 0.5, 1.0, [0.5, math.nan], math.inf)
    log.append(24 * MONTH, 2, 9, 200, 0.125, math.nan, [0.0, 0.25], math.nan)
    log.close()
    return path


@pytest.mark.parametrize("reader", READERS)
def test_metrics_and_partition_read_back_as_they_were(
    reader: str, metrics: Path, tmp_path: Path
) -> None:
    assert READERS[reader](metrics) == {
        "time_us": [0, 12 * MONTH, 24 * MONTH],
        "version": [0, 1, 2],
        "updates": [0, 5, 9],
        "samples": [0, 100, 200],
        "accuracy": [0.25, 0.5, None],
        "loss": [2.0, 1.0, None],
        "class_accuracy": [[0.0, 0.5], [0.5, None], [None, None]],
        "squared_gradient_norm": [4.0, None, None],
        "status": ["ok", "gradient diverged", "diverged"],
    }
    write_partition(tmp_path / "partition.parquet", np.array([[3, 0, 1], [0, 2**40, 0]]))
    assert READERS[reader](tmp_path / "partition.parquet") == {
        "client": [0, 1],
        "samples": [4, 2**40],
        "labels": [[3, 0, 1], [0, 2**40, 0]],
    }


def filtered_by_pyarrow(path: Path, least: float) -> list[int]:
    return pq.read_table(path, filters=[("loss", ">=", least)])["version"].to_pylist()


def filtered_by_polars(path: Path, least: float) -> list[int]:
    found = polars.scan_parquet(path).filter(polars.col("loss") >= least)
    return found.collect()["version"].to_list()


def filtered_by_duckdb(path: Path, least: float) -> list[int]:
    found = duckdb.sql(f"select version from '{path}' where loss >= {least} order by version")
    return [version for (version,) in found.fetchall()]


@pytest.mark.parametrize("filtered", [filtered_by_pyarrow, filtered_by_polars, filtered_by_duckdb])
def test_a_filter_of_every_reader_finds_the_same_evaluations(
    filtered: Callable[[Path, float], list[int]], metrics: Path
) -> None:
    assert filtered(metrics, 0.5) == [0, 1]
    assert filtered(metrics, 1.5) == [0]
    assert filtered(metrics, 2.5) == []  # a reader takes NaN for more than any number, or drops it


def test_aggregates_of_every_reader_are_the_same(metrics: Path) -> None:
    (by_duckdb,) = duckdb.sql(
        f"select min(loss), max(loss), avg(loss), count(loss), max(squared_gradient_norm), "
        f"count(*) filter (status = 'diverged') from '{metrics}'"
    ).fetchall()
    frame = polars.read_parquet(metrics)
    loss, norm = frame["loss"], frame["squared_gradient_norm"]
    lost = frame.filter(polars.col("status") == "diverged").height
    by_polars = (loss.min(), loss.max(), loss.mean(), loss.count(), norm.max(), lost)
    column = pq.read_table(metrics)
    by_pyarrow = (
        *compute.min_max(column["loss"]).as_py().values(),
        compute.mean(column["loss"]).as_py(),
        compute.count(column["loss"]).as_py(),
        compute.max(column["squared_gradient_norm"]).as_py(),
        column.filter(compute.equal(column["status"], "diverged")).num_rows,
    )
    assert by_duckdb == by_polars == by_pyarrow == (1.0, 2.0, 1.5, 2, 4.0, 1)


def test_no_floating_column_of_a_folder_has_nan_in_it(metrics: Path) -> None:
    frame = polars.read_parquet(metrics)
    floating = [name for name, kind in frame.schema.items() if kind.is_float()]
    assert floating == ["accuracy", "loss", "squared_gradient_norm"]
    assert not any(frame[name].drop_nulls().is_nan().any() for name in floating)
    assert not frame["class_accuracy"].explode().drop_nulls().is_nan().any()
