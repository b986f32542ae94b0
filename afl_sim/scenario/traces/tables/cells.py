"""Numbers in the cells of a table, in the units of the scenario."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from afl_sim.scenario.traces.tables.table import Table
from afl_sim.scenario.wording import exact, show

_EXACT = Context(prec=50)  # the product of two numbers of 17 digits has at most 34


def number(cell: Any) -> float:
    """The cell as a number; NaN if it is none.

    Text is a number if it is one in plain digits: Python's ``1_000`` and the digits of other
    scripts are none.
    """
    if isinstance(cell, bool) or (isinstance(cell, str) and ("_" in cell or not cell.isascii())):
        return math.nan
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def is_number(text: str) -> bool:
    """Whether a text is a finite number."""
    return math.isfinite(number(text))


@dataclass(frozen=True, slots=True)
class Numbers:
    """The kind of the numbers in a column.

    Attributes:
        name: the column.
        above_zero: whether they have to be above 0, or may be 0.
        least: the smallest that they may be; 0, or minus infinity for any number.
        most: the largest that they may be, in the scenario's unit.
        factor: what each is multiplied by, so that it has the scenario's unit.
    """

    name: str
    above_zero: bool = False
    least: float = 0.0
    most: float = math.inf
    factor: float = 1.0

    def read(self, table: Table, line: int, cell: Any) -> float:
        """The number in a cell; NaN, and a mistake of the table's, if there is none of this kind.

        A number times a factor is what its decimals give: 9 times 0.001 is 0.009 to the last bit.
        """
        value = number(cell)
        if self.factor != 1 and math.isfinite(value):
            value = float(_EXACT.multiply(Decimal(repr(value)), Decimal(repr(self.factor))))
        fits = value > 0 if self.above_zero else value >= self.least
        if fits and math.isfinite(value) and value <= self.most:
            return value
        scaled = self.factor != 1 and math.isfinite(number(cell))
        times = f", times the factor {exact(self.factor)}" if scaled else ""
        table.wrong(line, f"{self.name} is {show(cell)}{times}; expected {self._expected()}")
        return math.nan

    def _expected(self) -> str:
        if self.most < math.inf:
            if self.above_zero:
                return f"a number above 0, at most {exact(self.most)}"
            return f"a number from 0 to {exact(self.most)}"
        if self.least < 0:
            return "a finite number"
        return f"a finite number{' above 0' if self.above_zero else ', 0 or more'}"
