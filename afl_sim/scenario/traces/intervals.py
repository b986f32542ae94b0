"""Traces of availability: the intervals in which each client is available."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from afl_sim.scenario.traces.instants import EXPECTED, instant_of, origin_problem
from afl_sim.scenario.traces.tables import (
    CLIENT,
    ClientColumn,
    NumberClients,
    Numbers,
    Table,
    TableProblems,
    open_table,
    stamp,
)
from afl_sim.scenario.traces.tables.clients import Id
from afl_sim.scenario.units import DURATION
from afl_sim.scenario.wording import exact, show

Interval = tuple[int, int]
"""(start, end) in microseconds."""

Intervals = tuple[tuple[Interval, ...], ...]
"""For each client its intervals in order; none touch."""

_LONGEST: Final = 9e12  # seconds: the clock counts microseconds in 64 bits


@dataclass(frozen=True)
class Presences:
    """What a trace of availability says.

    Attributes:
        intervals: for each client up to the last in the file its intervals.
        without_rows: the clients among them that have no row in the file.
        numbers: for each id in the file its client; None if the ids are the numbers of the clients.
    """

    intervals: Intervals
    without_rows: tuple[int, ...] = ()
    numbers: Mapping[Id, int] | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """How the times in a file become times of a run.

    Attributes:
        repeat: the time after which all begins anew (seconds), if it is one for all clients.
        folds: whether all begins anew at all, perhaps after another time for each client.
        factor: what makes seconds of numbers in the file; None: the unit in the names of columns.
        origin: the time in the file at which the run begins: a number of seconds, or a date and
            time. None: 0 of numbers, and the earliest start of dates.
    """

    repeat: float | None = None
    folds: bool = False
    factor: float | None = None
    origin: float | str | None = None


def read_intervals(
    path: Path, timing: Timing = Timing(), number_clients: NumberClients = None
) -> tuple[Presences, str]:
    """The intervals of a file with the columns client, start, end, and its sha256.

    Args:
        path: a CSV file with a header row, or a ``.parquet`` file; rows are in any order.
        timing: what the times in it mean.
        number_clients: how the ids in the file become the numbers of clients.

    Raises:
        TableProblems: the file cannot be read so.
    """
    return _read(path, timing, number_clients, stamp(path))


@lru_cache(maxsize=8)
def _read(
    path: Path, timing: Timing, number_clients: NumberClients, unchanged: tuple[int, ...]
) -> tuple[Presences, str]:
    table = open_table(path)
    table.need(CLIENT)
    names, factors = time_columns(table, timing.factor)
    table.times = names
    clients = ClientColumn(table, number_clients)
    times = _Times(table, names, factors, timing)
    found_of: dict[Id, list[Interval]] = {}

    def place(line: int, client: Id | None, span: Interval, origin: int) -> None:
        placed = _placed(table, line, (span[0] - origin, span[1] - origin), timing)
        if client is not None:
            found_of.setdefault(client, []).extend(placed)

    waiting: list[tuple[int, Id | None, Interval]] = []  # until the earliest start is known
    for line, cells in table.rows((CLIENT, *names)):
        client = clients.read(line, cells[0])
        span = times.read(line, cells[1], cells[2])
        if span is not None and times.origin is not None:
            place(line, client, span, times.origin)
        elif span is not None:
            waiting.append((line, client, span))
    earliest = min((span[0] for _, _, span in waiting), default=0)
    for line, client, span in waiting:
        place(line, client, span, earliest)
    table.refuse_mistakes()
    table.refuse_no_rows(found_of)
    numbers = clients.numbers(found_of)
    by_client: list[list[Interval]] = [[] for _ in range(max(numbers.values()) + 1)]
    for client, intervals in found_of.items():
        by_client[numbers[client]] += intervals
    absent = sorted(set(range(len(by_client))) - set(numbers.values()))
    joined_up = tuple(joined(intervals) for intervals in by_client)
    named = any(each != number for each, number in numbers.items())
    return Presences(joined_up, tuple(absent), numbers if named else None), table.sha256


def time_columns(
    table: Table, factor: float | None = None
) -> tuple[tuple[str, str], tuple[float, float]]:
    """The columns of starts and ends, whose names may say a unit, and the factors of both.

    Args:
        table: must have both columns.
        factor: takes the place of the factors that the names say.
    """
    names, factors = [], []
    for name in ("start", "end"):
        units = {each: DURATION.in_name(each.removeprefix(f"{name}_")) for each in table.names}
        found = [
            each
            for each, size in units.items()
            if each == name or (size is not None and each.startswith(f"{name}_"))
        ]
        if name in found:
            found = [name]  # another column is then no time of the interval
        if not found:
            table.need(name)
        if len(found) > 1:
            raise TableProblems(
                [f"{table.header}: has {found[0]} and {found[1]}; expected one of them"]
            )
        size = 1.0 if found[0] == name else units[found[0]]
        names.append(found[0])
        factors.append((size or 1.0) if factor is None else factor)
    return (names[0], names[1]), (factors[0], factors[1])


class _Times:
    """Reads starts and ends, which are all numbers or all dates.

    Args:
        table: to which mistakes are added.
        names: of the columns of starts and ends.
        factors: what makes seconds of numbers in them.
        timing: the origin, and whether there is a factor.
    """

    def __init__(
        self, table: Table, names: tuple[str, str], factors: tuple[float, float], timing: Timing
    ) -> None:
        self._table = table
        self._timing = timing
        least = 0.0 if timing.origin is None else -_LONGEST
        self._numbers = [
            Numbers(name, least=least, most=_LONGEST, factor=factor)
            for name, factor in zip(names, factors, strict=True)
        ]
        self._first: int | None = None  # the line that says which of the two they are
        self._zoned: bool | None = None
        self.origin: int | None = None
        """The time in the file at which the run begins, in microseconds; None: the earliest start.
        It is known when a row has been read."""

    def read(self, line: int, start: Any, end: Any) -> Interval | None:
        """The start and the end in microseconds; None, and a mistake, if one is wrong."""
        if self._first is None:
            self._first = line
            first = instant_of(start)
            self._zoned = None if first is None else first.zoned
            self._begin()
        cells = zip(self._numbers, (start, end), strict=True)
        if self._zoned is not None:
            dates = [self._date(line, kind.name, cell) for kind, cell in cells]
            if None in dates:
                return None
            begin, stop = (us for us in dates if us is not None)
        else:
            seconds = [kind.read(self._table, line, cell) for kind, cell in cells]
            if not seconds[0] < seconds[1]:
                if seconds[0] >= seconds[1]:  # neither is NaN
                    self._not_after(line, exact(seconds[1]), exact(seconds[0]))
                return None
            begin = round(seconds[0] * 1e6)
            return begin, max(begin + 1, round(seconds[1] * 1e6))
        if stop <= begin:
            self._not_after(line, str(end), str(start))
            return None
        return begin, stop

    def _begin(self) -> None:
        """Check and take the origin, now that it is known what the times are."""
        origin = self._timing.origin
        why = origin_problem(origin, self._zoned)
        if why is not None:
            raise TableProblems([why], ("origin",))
        if self._zoned is None:
            self.origin = round(origin * 1e6) if isinstance(origin, float | int) else 0
        elif (found := instant_of(origin)) is not None:
            self.origin = found.us
        if self._zoned is not None and self._timing.factor is not None:
            raise TableProblems(["the file has dates and times; expected no factor"], ("factor",))

    def _date(self, line: int, name: str, cell: Any) -> int | None:
        found = instant_of(cell)
        if found is None:
            self._table.wrong(
                line, f"{name} is {show(cell)}; expected {EXPECTED}, as in line {self._first}"
            )
            return None
        if found.zoned != self._zoned:
            has, other = ("a", "has none") if found.zoned else ("no", "has one")
            self._table.wrong(
                line,
                f"{name} {show(cell)} has {has} time zone, but line {self._first} {other}; "
                "expected the same in all rows",
            )
            return None
        return found.us

    def _not_after(self, line: int, end: str, start: str) -> None:
        self._table.wrong(line, f"end {end} is not after start {start}")


def _placed(table: Table, line: int, span: Interval, timing: Timing) -> list[Interval]:
    """Where an interval is in the run: nowhere if it ends before, in two places if it wraps."""
    start, end = span
    if timing.repeat is None:
        if timing.folds:
            return [span]
        return [(max(0, start), end)] if end > 0 else []
    repeat = round(timing.repeat * 1e6)
    told = exact(timing.repeat)
    if not -repeat <= start < repeat:
        what = f"is not before the repeat of {told}"
        if start < 0:
            what = f"is more than a repeat of {told} before the origin"
        table.wrong(line, f"start {exact(start / 1e6)} {what}; expected a longer repeat")
    elif end - start > repeat:
        table.wrong(line, f"lasts {exact((end - start) / 1e6)} s, longer than the repeat of {told}")
    return folded([span], max(1, repeat))


def folded(intervals: Iterable[Interval], repeat: int) -> list[Interval]:
    """The intervals as they are in each period of so many microseconds, not joined."""
    found: list[Interval] = []
    for start, end in intervals:
        if end - start >= repeat:
            found.append((0, repeat))
            continue
        begin = start % repeat
        stop = begin + end - start
        found.append((begin, min(stop, repeat)))
        if stop > repeat:
            found.append((0, stop - repeat))
    return found


def joined(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The intervals in order; overlapping or adjacent ones are merged."""
    made: list[Interval] = []
    for start, end in sorted(intervals):
        if made and start <= made[-1][1]:
            made[-1] = (made[-1][0], max(end, made[-1][1]))
        else:
            made.append((start, end))
    return tuple(made)
