"""Traces of availability: the intervals in which each client is available."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from afl_sim.scenario.traces.tables import (
    CLIENT,
    ClientColumn,
    NumberClients,
    Numbers,
    open_table,
    stamp,
)
from afl_sim.scenario.traces.tables.clients import Id
from afl_sim.scenario.wording import exact

Intervals = tuple[tuple[tuple[int, int], ...], ...]
"""For each client its intervals in order, (start, end) in microseconds; none touch."""

COLUMNS: Final = (CLIENT, "start", "end")
_LONGEST: Final = 9e12  # seconds: the clock counts microseconds in 64 bits


def read_intervals(
    path: Path,
    repeat: float | None = None,
    factor: float = 1.0,
    number_clients: NumberClients = None,
) -> tuple[Intervals, str]:
    """The intervals of a file with the columns client, start, end, and its sha256.

    Args:
        path: a CSV file with a header row, or a ``.parquet`` file; rows are in any order.
        repeat: the time after which all begins anew (seconds), which no interval may pass; or None.
        factor: what makes seconds of the numbers in the file.
        number_clients: how the ids in the file become the numbers of clients.

    Returns:
        For each client up to the last in the file its intervals; a client without a row has none.

    Raises:
        TableProblems: the file cannot be read so.
    """
    return _read(path, repeat, factor, number_clients, stamp(path))


@lru_cache(maxsize=8)
def _read(
    path: Path,
    repeat: float | None,
    factor: float,
    number_clients: NumberClients,
    unchanged: tuple[int, int],
) -> tuple[Intervals, str]:
    table = open_table(path)
    for name in COLUMNS:
        table.need(name)
    clients = ClientColumn(table, number_clients)
    times = [Numbers(name, most=_LONGEST, factor=factor) for name in COLUMNS[1:]]
    found: dict[Id, list[tuple[int, int]]] = {}
    for line, cells in table.rows(COLUMNS):
        client = clients.read(line, cells[0])
        start, end = (each.read(table, line, cells[i]) for i, each in enumerate(times, start=1))
        if end <= start:
            table.wrong(line, f"end {exact(end)} is not after start {exact(start)}")
        elif repeat is not None and end > repeat:
            table.wrong(line, f"end {exact(end)} is after the repeat of {exact(repeat)}")
        elif client is not None and start < end:  # neither is NaN
            first = round(start * 1e6)
            found.setdefault(client, []).append((first, max(first + 1, round(end * 1e6))))
    table.refuse_mistakes()
    table.refuse_no_rows(found)
    numbers = clients.numbers(found)
    rows: list[list[tuple[int, int]]] = [[] for _ in range(max(numbers.values()) + 1)]
    for client, intervals in found.items():
        rows[numbers[client]] += intervals
    return tuple(_joined(intervals) for intervals in rows), table.sha256


def _joined(intervals: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The intervals in order; overlapping or adjacent ones are merged."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)
