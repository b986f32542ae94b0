"""Times in logs: seconds, another unit, or dates; all of one kind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from afl_sim.importers.columns import factor_of
from afl_sim.importers.reading import Source
from afl_sim.scenario.section import LONGEST_SECONDS
from afl_sim.scenario.traces.instants import EXPECTED, instant_of
from afl_sim.scenario.traces.tables.cells import is_number, number
from afl_sim.scenario.units import DURATION
from afl_sim.scenario.wording import show

_EPOCH_SECONDS = 1e8, 1e10
"""What a number of seconds since 1970 is between: the years 1973 and 2286."""
_EPOCH_MS = 1e11, 1e13


class Times:
    """Reads times, which have to be all numbers or all dates, in one unit.

    Attributes:
        zero: the time that is time zero: the earliest one of dates and of times since 1970, and 0
            of other numbers. It is known once all are read.
    """

    def __init__(self) -> None:
        self._dates: bool | None = None
        self._zoned: bool | None = None
        self._first: str = ""
        self._earliest: float | None = None
        self._units: dict[str, float | None] = {}  # by column, as its name says
        self._epoch: float | None = None  # how many units a second has, of times since 1970

    @classmethod
    def at(cls, zero: float) -> Times:
        """Times of dates, the earliest of which is ``zero`` (seconds since 1970)."""
        made = cls()
        made._dates, made._earliest = True, zero
        return made

    def read(self, source: Source, line: int, name: str, cell: str) -> float | None:
        """The time in a cell in seconds; None, and a mistake, if it is none of the others' kind.

        Args:
            source: the file.
            line: of the cell.
            name: of the column, which may say a unit.
            cell: the text.

        Raises:
            InputError: the name says a unit that could be misread.
        """
        instant = instant_of(cell)
        if self._dates is None:
            self._dates, self._first = instant is not None, f"{source.path.name}:{line}"
            self._zoned = None if instant is None else instant.zoned
        if instant is not None:
            value = instant.us / 1e6
            fits = self._dates and instant.zoned == self._zoned
        else:
            value = self._number(source, name, cell)
            fits = not self._dates and 0 <= value <= LONGEST_SECONDS
            fits = fits and self._same_unit(number(cell))
        if not fits:
            expected = EXPECTED if self._dates else "a number of seconds, 0 or more"
            source.wrong(
                line,
                f"{name} is {show(cell)}; expected {expected}, in the same unit as {self._first}",
            )
            return None
        self._earliest = value if self._earliest is None else min(self._earliest, value)
        return value

    def _number(self, source: Source, name: str, cell: str) -> float:
        value = number(cell) if is_number(cell) else -1.0
        if name not in self._units:
            self._units[name] = factor_of(source, name, DURATION, "another name")
        return value * (self._units[name] or (0.001 if self._in_ms(value) else 1.0))

    def _in_ms(self, value: float) -> bool:
        return _EPOCH_MS[0] < value < _EPOCH_MS[1]

    def _same_unit(self, value: float) -> bool:
        """Whether a time since 1970 has the unit of the others: seconds or milliseconds."""
        if self._in_ms(value):
            unit = 1000.0
        elif _EPOCH_SECONDS[0] < value < _EPOCH_SECONDS[1]:
            unit = 1.0
        else:
            return True
        if self._epoch is None:
            self._epoch = unit
        return self._epoch == unit

    @property
    def zero(self) -> float:
        """See the class."""
        if self._earliest is None:
            return 0.0
        return self._earliest if self._dates or self._earliest > _EPOCH_SECONDS[0] else 0.0

    def report(self) -> Iterator[str]:
        """What time zero is, if it is not 0."""
        if self.zero:
            since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self.zero)
            yield f"time zero: {since:%Y-%m-%d %H:%M:%S}"
