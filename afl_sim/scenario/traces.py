"""Measured durations in files: one column of a CSV or Parquet file, read once per process."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from afl_sim.scenario.wording import hint


class TraceProblem(Exception):
    """A trace cannot be used; ``key`` is the scenario key to blame."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


def read_trace(path: Path, column: str | None) -> tuple[tuple[float, ...], str]:
    """The numbers of one column, in the order of the rows, and the file's sha256.

    Args:
        path: a ``.parquet`` file, or text with comma-separated values and a header row.
        column: its name; None is enough where the file has only one.

    Raises:
        TraceProblem: the file or the column cannot be read as numbers.
    """
    try:
        stat = path.stat()
        return _read(path, column, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise TraceProblem("trace", f"there is no file {path}") from None
    except IsADirectoryError:
        raise TraceProblem("trace", f"{path} is a folder; expected a CSV or Parquet file") from None
    except (OSError, ValueError) as error:
        raise TraceProblem("trace", f"cannot read {path}: {error}") from None


@lru_cache(maxsize=32)
def _read(
    path: Path, column: str | None, modified_ns: int, size: int
) -> tuple[tuple[float, ...], str]:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if path.suffix == ".parquet":
        return _parquet_column(path, column), digest
    return _csv_column(path, content, column), digest


def _csv_column(path: Path, content: bytes, column: str | None) -> tuple[float, ...]:
    try:
        reader = csv.reader(content.decode("utf-8-sig").splitlines())
        header = [name.strip() for name in next(reader, [])]
        index = header.index(_chosen(path, header, column))
        values: list[float] = []
        for row in reader:
            if not row:
                continue
            text = row[index] if index < len(row) else ""
            values.append(_duration(path, text, f"line {reader.line_num}"))
    except UnicodeDecodeError:
        raise TraceProblem("trace", f"{path} is not UTF-8 text") from None
    except csv.Error as error:
        raise TraceProblem("trace", f"{path} is not readable as CSV: {error}") from None
    return _not_empty(path, values)


def _parquet_column(path: Path, column: str | None) -> tuple[float, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            name = _chosen(path, file.schema_arrow.names, column)
            cells = file.read(columns=[name]).column(name).to_pylist()
    except pa.ArrowException as error:
        raise TraceProblem("trace", f"{path} is not readable as Parquet: {error}") from None
    values = [_duration(path, cell, f"row {row}") for row, cell in enumerate(cells)]
    return _not_empty(path, values)


def _chosen(path: Path, columns: list[str], column: str | None) -> str:
    if column is None:
        if len(columns) == 1:
            return columns[0]
        raise TraceProblem("column", f"missing; {path} has the columns {', '.join(columns)}")
    if column not in columns:
        raise TraceProblem(
            "column",
            f"{path} has no column '{column}'; expected one of {', '.join(columns)}"
            f"{hint(column, columns)}",
        )
    return column


def _duration(path: Path, cell: object, place: str) -> float:
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value < math.inf:
        raise TraceProblem(
            "trace", f"{path}, {place}: got {cell!r}; expected a finite number, 0 or more"
        )
    return value


def _not_empty(path: Path, values: list[float]) -> tuple[float, ...]:
    if not values:
        raise TraceProblem("trace", f"{path} has no rows")
    return tuple(values)


def rows_of(path: Path, content: bytes) -> Iterator[tuple[list[Any], int]]:
    """The names of a file's columns, then its rows, each with its line (in Parquet: row, from 1).

    Args:
        path: whose name says whether it is Parquet, or else CSV.
        content: its bytes.

    Raises:
        TraceProblem: it is no Parquet file.
        UnicodeDecodeError, csv.Error: it is no CSV file.
    """
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    return _csv_rows(content.decode("utf-8-sig"))


def _csv_rows(text: str) -> Iterator[tuple[list[Any], int]]:
    reader = csv.reader(text.splitlines())
    yield [name.strip() for name in next(reader, [])], 1
    for row in reader:
        if row:
            yield [cell.strip() for cell in row], reader.line_num


def _parquet_rows(path: Path) -> Iterator[tuple[list[Any], int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except pa.ArrowException as error:
        raise TraceProblem("trace", f"{path} is not readable as Parquet: {error}") from None
    yield table.schema.names, 0
    columns = [column.to_pylist() for column in table.columns]
    for line, row in enumerate(zip(*columns, strict=True), start=1):
        yield list(row), line


def number(cell: Any) -> float:
    """The cell as a number; NaN if it is none."""
    if isinstance(cell, bool):
        return math.nan
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return math.nan
