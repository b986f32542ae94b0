"""Traces of bandwidth: what each link carries at which time."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from afl_sim.scenario.section import LONGEST_SECONDS
from afl_sim.scenario.traces.columns import By
from afl_sim.scenario.traces.intervals import time_columns
from afl_sim.scenario.traces.tables import (
    CLIENT,
    ClientColumn,
    Id,
    NumberClients,
    Numbers,
    Table,
    TableProblems,
    open_table,
    stamp,
)
from afl_sim.scenario.traces.tables.clients import without_rows
from afl_sim.scenario.units import RATE
from afl_sim.scenario.wording import exact, show

LINK: Final = "link"
SLOWEST: Final = 1e-6
"""Bytes per second: the smallest bandwidth that is not 0. A model then takes millennia."""

AfterEnd = Literal["repeat", "hold"]


@dataclass(frozen=True)
class Bandwidth:
    """The bandwidth of one link over time.

    Attributes:
        name: tells it from other links; the text of the file, None where it has one link.
        ends_us: where each piece ends, in microseconds; the first begins at 0.
        rates: the bandwidth in each piece (bytes per second).
    """

    name: str | None = None
    ends_us: array[int] = field(default_factory=lambda: array("q"))
    rates: array[float] = field(default_factory=lambda: array("d"))

    @property
    def mean(self) -> float:
        """The mean bandwidth (bytes per second)."""
        starts = [0, *self.ends_us[:-1]]
        pieces = zip(starts, self.ends_us, self.rates, strict=True)
        return sum((end - start) * rate for start, end, rate in pieces) / self.ends_us[-1]


@dataclass(frozen=True, slots=True)
class BandwidthColumns:
    """How a trace of bandwidth is read.

    Attributes:
        column: the column with the bandwidths; None is enough where the file has only one.
        by: client: the column ``client`` says whose link each row belongs to.
        after_end: what happens after the last row of a link.
        factor: what each bandwidth is multiplied by; None: what the unit in the column's name says.
        number_clients: how the ids of the column ``client`` become the numbers of clients.
    """

    column: str | None = None
    by: By = "sample"
    after_end: AfterEnd = "repeat"
    factor: float | None = None
    number_clients: NumberClients = None


def link_of(links: Sequence[Bandwidth], name: Id) -> int | None:
    """The index of the link that another file names; None if there is none of this name."""
    wanted = str(name)
    return next((index for index, link in enumerate(links) if link.name == wanted), None)


def read_bandwidths(
    path: Path, reading: BandwidthColumns = BandwidthColumns()
) -> tuple[tuple[Bandwidth, ...], str]:
    """The links of a table with the columns start, end and a bandwidth, and its sha256.

    They are in the order of their first rows, or of the clients where the file says whose they are.

    Raises:
        TableProblems: it cannot be read so; with file and line for each mistake.
    """
    return _read(path, reading, stamp(path))


@lru_cache(maxsize=8)
def _read(
    path: Path, reading: BandwidthColumns, unchanged: tuple[int, ...]
) -> tuple[tuple[Bandwidth, ...], str]:
    table = open_table(path)
    names, factors = time_columns(table)
    whose = _id_column(table, reading)
    rates = _rate_column(table, reading, {*names, CLIENT, LINK})
    starts, ends = (
        Numbers(name, most=LONGEST_SECONDS, factor=factor)
        for name, factor in zip(names, factors, strict=True)
    )
    clients = ClientColumn(table, reading.number_clients) if reading.by == "client" else None
    links: dict[Any, _Link] = {}
    columns = (*names, rates.name) if whose is None else (*names, rates.name, whose)
    for line, cells in table.rows(columns):
        key: Any = None
        if clients is not None:
            key = clients.read(line, cells[3])
            if key is None:
                continue
        elif whose is not None:
            key = cells[3]
            if key in (None, ""):
                table.wrong(line, f"{whose} is {show(cells[3])}; expected the name of a link")
                continue
        if key not in links:
            links[key] = _Link(table, None if whose is None else str(key))
        start = starts.read(table, line, cells[0])
        end, rate = ends.read(table, line, cells[1]), rates.read(table, line, cells[2])
        links[key].add(line, start, end, rate)
    table.refuse_mistakes()
    table.refuse_no_rows(links)
    for key, link in links.items():
        link.check(None if whose is None else f"{whose} {key}", reading.after_end)
    table.refuse_mistakes()
    found = list(links.values())
    if clients is not None:
        found = _by_client(table, clients.numbers(links), links)
    return tuple(link.made for link in found), table.sha256


def _id_column(table: Table, reading: BandwidthColumns) -> str | None:
    """The column that tells links apart; None if all rows are of one link."""
    if reading.by == "client":
        table.need(CLIENT)
        return CLIENT
    if reading.number_clients is not None:
        why = "needs by: client; a sample belongs to no client"
        raise TableProblems([why], ("number_clients",))
    found = [name for name in (LINK, CLIENT) if name in table.names]
    if len(found) > 1:
        raise TableProblems(
            [f"{table.header}: has {LINK} and {CLIENT}; expected one of them with by: sample"]
        )
    return found[0] if found else None


def _rate_column(table: Table, reading: BandwidthColumns, others: set[str]) -> Numbers:
    """The column of the bandwidths, and what its numbers are."""
    name = reading.column
    if name is None:
        rates = [each for each in table.names if each not in others]
        if not rates:
            raise TableProblems(
                [
                    f"{table.header}: no column of bandwidths beside {table.named()}; expected "
                    "one, such as bandwidth or bandwidth_Mbit_per_s"
                ]
            )
        if len(rates) > 1:
            raise TableProblems([f"missing; {table.path} has {table.named()}"], ("column",))
        name = rates[0]
    else:
        table.need(name, ("column",))
    factor = reading.factor
    if factor is None:
        table.refuse_other_unit(name, RATE)
        factor = RATE.of_column(name) or 1.0
    return Numbers(name, factor=factor)


class _Link:
    """Collects the rows of one link.

    Args:
        table: to which mistakes are added.
        name: of the link.
    """

    def __init__(self, table: Table, name: str | None) -> None:
        self._table = table
        self.made = Bandwidth(name)
        self._last = 0  # the line that was read last
        self._started_us = self._ended_us = 0
        self._last_rate = 0.0
        self._known = True  # where the row before ends

    def add(self, line: int, start: float, end: float, rate: float) -> None:
        """Add a row: seconds, seconds, and bytes per second; NaN where a mistake was noted."""
        if not (start < end and rate >= 0):
            if start >= end:
                self._table.wrong(line, f"end {exact(end)} is not after start {exact(start)}")
            self._known = False  # so that a mistake does not bring others
            return
        if 0 < rate < SLOWEST:
            self._table.wrong(
                line,
                f"{exact(rate)} bytes per second; expected 0, or at least {SLOWEST:g}",
            )
        begin_us, end_us = round(start * 1e6), round(end * 1e6)
        if self._known:
            self._check_place(line, start, begin_us)
        self._known = True
        if end_us <= begin_us:
            self._table.wrong(line, "lasts less than a microsecond; expected a longer row")
        self._last = line
        self._started_us, self._ended_us = begin_us, end_us
        self._last_rate = rate
        self.made.ends_us.append(end_us)
        self.made.rates.append(rate)

    def _check_place(self, line: int, start: float, begin_us: int) -> None:
        """Rows of a link follow each other without a gap."""
        told, ended = exact(start), exact(self._ended_us / 1e6)
        if begin_us == self._ended_us:
            return
        if not self._last:
            why = f"start is {told}, in the first row of its link; expected 0, where a trace begins"
        elif begin_us < self._started_us:
            why = (
                f"start {told} comes after {exact(self._started_us / 1e6)} in line {self._last}; "
                "expected the rows of a link in the order of time"
            )
        elif begin_us < self._ended_us:
            why = f"start {told} is before {ended}, the end of line {self._last}; expected {ended}"
        else:
            why = (
                f"a gap: start is {told}, but line {self._last} ends at {ended}; expected a row "
                "for all times, with a bandwidth of 0 where nothing passes"
            )
        self._table.wrong(line, why)

    def check(self, name: str | None, after_end: AfterEnd) -> None:
        """Note it if some transfer on this link would never end."""
        which = "" if name is None else f" of {name}"
        if not any(self.made.rates):
            self._table.wrong(
                self._last, f"the bandwidth{which} is 0 in all rows; expected one above 0"
            )
        elif after_end == "hold" and self._last_rate == 0:
            self._table.wrong(
                self._last,
                f"the last bandwidth{which} is 0, and with after_end: hold it stays; expected one "
                "above 0, or after_end: repeat",
            )


def _by_client(table: Table, numbers: Mapping[Any, int], links: Mapping[Any, _Link]) -> list[_Link]:
    """The links of clients 0, 1, ..."""
    clients = max(numbers.values()) + 1
    by_number: dict[int, _Link] = {}
    for key, link in links.items():
        if numbers[key] in by_number:  # 7 and 007
            raise TableProblems([f"{table.path}: client {show(key)} is there under two names"])
        by_number[numbers[key]] = link
    absent = [client for client in range(clients) if client not in by_number]
    if absent:
        path = f"{table.path}: the largest client is {clients - 1:,}"
        raise TableProblems([without_rows(path, len(absent), clients, absent[0])])
    return [by_number[client] for client in range(clients)]
