"""Traces of the carbon intensity of electricity: one number for each hour, or other equal steps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from afl_sim.scenario.traces.instants import EXPECTED, Instant, instant_of
from afl_sim.scenario.traces.tables import Numbers, Table, TableProblems, open_table, stamp
from afl_sim.scenario.units import DURATION
from afl_sim.scenario.wording import exact, show

TIME: Final = "time"
INTENSITY: Final = "g_per_kwh"
HIGHEST: Final = 1e6
"""Grams per kilowatt-hour: more than any electricity has."""
_EXACT: Final = Context(prec=50)
_POUND: Final = "453.59237"
_GRAMS: Final = {"mg": "1e-3", "g": "1", "kg": "1e3", "t": "1e6", "lb": _POUND, "lbs": _POUND}
_PER_KWH: Final = {"Wh": "1000", "kWh": "1", "MWh": "0.001", "GWh": "1e-6"}
_UNIT: Final = re.compile(
    rf"(?:^|[^a-z])({'|'.join(_GRAMS)})(?:[ _]?co2(?:[ _-]?eq?)?)?(?:_per_|[ _]?/[ _]?)"
    rf"({'|'.join(_PER_KWH)})(?![a-z])",
    re.IGNORECASE,
)
_LONGEST: Final = 9e12  # seconds: the clock counts microseconds in 64 bits


@dataclass(frozen=True)
class Intensities:
    """What a trace of carbon intensity says.

    Attributes:
        grams: for each step, in grams of carbon dioxide per kilowatt-hour.
        step_us: how long each holds.
        begin_us: of the first step, by the times of the file.
        zoned: whether these are dates with a time zone; None if they are numbers.
    """

    grams: tuple[float, ...]
    step_us: int
    begin_us: int
    zoned: bool | None


def read_intensities(path: Path, time: str | None, column: str) -> tuple[Intensities, str]:
    """The intensities of a file with a column of times and one of intensities, and its sha256.

    Args:
        path: a CSV file with a header row, or a ``.parquet`` file, in order of time.
        time: the column of times: dates, or numbers in the unit that its name says, as in
            ``time_h``, else seconds. None: ``time``, with or without a unit.
        column: the column of intensities, in grams per kilowatt-hour or in the unit that its name
            says, as in ``lb_per_MWh`` and ``intensity (kgCO2eq/MWh)``.

    Raises:
        TableProblems: the file cannot be read so, or its steps are not all of the same length.
    """
    return _read(path, time, column, stamp(path))


@lru_cache(maxsize=32)
def _read(
    path: Path, time: str | None, column: str, unchanged: tuple[int, ...]
) -> tuple[Intensities, str]:
    table = open_table(path)
    name = _time_column(table) if time is None else time
    table.need(name, ("trace",) if time is None else ("time",))
    table.need(column, ("column",))
    table.times = (name,)
    times = _Times(table, name)
    grams, kind = [], Numbers(column, most=HIGHEST, factor=_grams_per_kwh(column))
    for line, cells in table.rows((name, column)):
        times.read(line, cells[0])
        grams.append(kind.read(table, line, cells[1]))
    table.refuse_mistakes()
    if len(grams) < 2:
        raise TableProblems(
            [
                f"{path} has {'no rows' if not grams else '1 row'}; expected two or more, or a "
                "number in place of a trace"
            ]
        )
    return Intensities(tuple(grams), times.step, times.first, times.zoned), table.sha256


def _grams_per_kwh(column: str) -> float:
    """The unit of a column of intensities by its name; 1 if that says none."""
    said = _UNIT.search(column)
    if said is None:
        return 1.0
    grams = _GRAMS[said[1].lower()]
    (per,) = (size for unit, size in _PER_KWH.items() if unit.lower() == said[2].lower())
    return float(_EXACT.multiply(Decimal(grams), Decimal(per)))


def _time_column(table: Table) -> str:
    """``time``, or the column whose name says its unit besides."""
    if TIME in table.names:
        return TIME
    prefix = f"{TIME}_"
    found = [
        name
        for name in table.names
        if name.startswith(prefix) and DURATION.in_name(name.removeprefix(prefix)) is not None
    ]
    if len(found) > 1:
        raise TableProblems(
            [f"{table.header}: has {found[0]} and {found[1]}; expected one of them"], ("time",)
        )
    return found[0] if found else TIME


class _Times:
    """Reads the times of a column, which are evenly spaced.

    Args:
        table: to which mistakes are added.
        name: of the column.
    """

    def __init__(self, table: Table, name: str) -> None:
        self._table = table
        self._name = name
        unit = DURATION.of_column(name)
        self._numbers = Numbers(name, least=-_LONGEST, most=_LONGEST, factor=unit or 1.0)
        self._rows = 0
        self._last = 0
        self._last_cell: Any = None
        self.first = 0
        self.step = 0
        self.zoned: bool | None = None

    def read(self, line: int, cell: Any) -> None:
        """Take the time of a row; notes a mistake if it is no time, or not the next one."""
        if not self._rows:
            first = instant_of(cell)
            self.zoned = None if first is None else first.zoned
        time = self._time(line, cell)
        if time is None:
            return
        if self._rows == 0:
            self.first = time
        elif time <= self._last:
            self._table.wrong(
                line,
                f"{self._name} is {_shown(cell)}, which is not after {_shown(self._last_cell)} in "
                "the row before; expected rows in order of time",
            )
            return
        elif self._rows == 1:
            self.step = time - self._last
        elif time - self._last != self.step:
            gap, step = exact((time - self._last) / 1e6), exact(self.step / 1e6)
            self._table.wrong(
                line,
                f"{self._name} is {_shown(cell)}, {gap} s after the row before; expected {step} s, "
                "as between the first rows, so that there is no gap",
            )
        self._rows += 1
        self._last, self._last_cell = time, cell

    def _time(self, line: int, cell: Any) -> int | None:
        if self.zoned is None:
            seconds = self._numbers.read(self._table, line, cell)
            return None if seconds != seconds else round(seconds * 1e6)
        found = instant_of(cell)
        if found is None:
            self._table.wrong(line, f"{self._name} is {show(cell)}; expected {EXPECTED}")
            return None
        if found.zoned != self.zoned:
            has, other = ("a time zone", "none") if found.zoned else ("no time zone", "one")
            self._table.wrong(
                line, f"{self._name} has {has}, but the first row has {other}; expected the same"
            )
            return None
        return found.us


def _shown(cell: Any) -> str:
    return "an earlier time" if isinstance(cell, Instant) else show(cell)
