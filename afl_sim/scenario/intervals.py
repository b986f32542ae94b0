"""Traces of availability: who was there from when to when."""

from __future__ import annotations

import csv
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from afl_sim.scenario.traces import TraceProblem, number, rows_of

Intervals = tuple[tuple[tuple[int, int], ...], ...]
"""For each client its intervals in order, (start, end) in microseconds; none touch."""

COLUMNS = ("client", "start", "end")
_LONGEST = 9e12  # seconds: the clock counts microseconds in 64 bits
_MOST_CLIENTS = 10_000_000


def read_intervals(path: Path, repeat: float | None) -> tuple[Intervals, str]:
    """The intervals of a file with the columns client, start, end, and its sha256.

    Args:
        path: a CSV file with a header row, or a ``.parquet`` file; clients are numbered from 0,
            times are seconds, rows are in any order.
        repeat: the time after which all begins anew, which no interval may pass; or None.

    Raises:
        TraceProblem: the file cannot be read so.
    """
    try:
        stat = path.stat()
        return _read(path, repeat, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise TraceProblem("trace", f"there is no file {path}") from None
    except IsADirectoryError:
        raise TraceProblem("trace", f"{path} is a folder; expected a CSV or Parquet file") from None
    except UnicodeDecodeError:
        raise TraceProblem("trace", f"{path} is not UTF-8 text") from None
    except (OSError, csv.Error, ValueError) as error:
        raise TraceProblem("trace", f"cannot read {path}: {error}") from None


@lru_cache(maxsize=8)
def _read(path: Path, repeat: float | None, modified_ns: int, size: int) -> tuple[Intervals, str]:
    content = path.read_bytes()
    rows = rows_of(path, content)
    header, place = next(rows)
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise TraceProblem(
            "trace",
            f"{path}:{place}: no column '{missing[0]}'; expected the columns {', '.join(COLUMNS)}",
        )
    places = [header.index(name) for name in COLUMNS]
    found: dict[int, list[tuple[int, int]]] = {}
    for row, line in rows:
        cells = [row[i] if i < len(row) else "" for i in places]
        client, start, end = _checked(cells, repeat, f"{path}:{line}")
        found.setdefault(client, []).append((start, end))
    if not found:
        raise TraceProblem("trace", f"{path} has no rows")
    clients = range(max(found) + 1)
    return tuple(_joined(found.get(client, [])) for client in clients), hashlib.sha256(
        content
    ).hexdigest()


def _checked(cells: list[Any], repeat: float | None, place: str) -> tuple[int, int, int]:
    client = number(cells[0])
    if not (0 <= client < _MOST_CLIENTS and client == int(client)):
        raise TraceProblem("trace", f"{place}: client {cells[0]!r}; expected a whole number from 0")
    seconds = []
    for name, cell in zip(COLUMNS[1:], cells[1:], strict=True):
        value = number(cell)
        if not 0 <= value <= _LONGEST:
            raise TraceProblem("trace", f"{place}: {name} {cell!r}; expected seconds from 0")
        seconds.append(value)
    start, end = seconds
    if end <= start:
        raise TraceProblem("trace", f"{place}: end {end:g} is not after start {start:g}")
    if repeat is not None and end > repeat:
        raise TraceProblem("trace", f"{place}: end {end:g} is after the repeat of {repeat:g}")
    first = round(start * 1e6)
    return int(client), first, max(first + 1, round(end * 1e6))


def _joined(intervals: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """In order; what overlaps or touches made one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)
