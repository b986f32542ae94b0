"""Files of measurements as importers read them: line by line, with the place of each mistake."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from afl_sim.errors import InputError
from afl_sim.scenario.traces.tables.cells import number
from afl_sim.scenario.traces.tables.formats import not_utf8, refuse_other_formats
from afl_sim.scenario.traces.tables.opening import read_file
from afl_sim.scenario.traces.tables.table import MOST_TOLD, TableProblems
from afl_sim.scenario.wording import exact, show


class Source:
    """An open file. It collects mistakes, which are told at once, and counts what is left out.

    Args:
        path: the file.

    Attributes:
        path: the file.
        content: its bytes.
        dropped: how often something was left out, by reason.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped: Counter[str] = Counter()
        self._told: list[str] = []
        self._mistakes = 0
        try:
            self.content = read_file(path)
        except TableProblems as problems:
            raise InputError("\n".join(problems.messages)) from None
        if not self.content.strip():
            raise InputError(f"{path} is empty; expected measurements")

    @property
    def name(self) -> str:
        """The file's name without its folder and its last suffix."""
        return self.path.stem

    def text(self) -> str:
        """The content as text.

        Raises:
            InputError: it is compressed, in another format, or not in UTF-8.
        """
        try:
            refuse_other_formats(self.path, self.content)
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InputError("\n".join(not_utf8(self.path, self.content).messages)) from None
        except TableProblems as problems:
            raise InputError("\n".join(problems.messages)) from None

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines that are not blank, each with its number from 1."""
        for line, text in enumerate(self.text().splitlines(), start=1):
            if text.strip():
                yield line, text.strip()

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows of comma-separated values, each with the line in which it begins.

        Raises:
            InputError: the file is no such table.
        """
        reader = csv.reader(self.text().splitlines(keepends=True), strict=True)
        line = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise InputError(f"{self.path}:{line}: not readable as CSV: {error}") from None
            if any(cell.strip() for cell in cells):
                yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1

    def wrong(self, line: int, message: str) -> None:
        """Note a mistake in a line."""
        self._mistakes += 1
        if len(self._told) < MOST_TOLD:
            self._told.append(f"{self.path}:{line}: {message}")

    def drop(self, reason: str) -> None:
        """Note that something was left out."""
        self.dropped[reason] += 1

    def refuse_mistakes(self) -> None:
        """Raise InputError if any mistake was noted."""
        more = self._mistakes - len(self._told)
        if more:
            what = "1 more mistake" if more == 1 else f"{more:,} more mistakes"
            self._told.append(f"{self.path}: and {what}")
        if self._told:
            raise InputError("\n".join(self._told))

    def numbers(self, line: int, cells: Sequence[str], names: Sequence[str]) -> list[float] | None:
        """The cells as finite numbers of 0 or more; None, and a mistake, if one is none.

        Args:
            line: of the cells.
            cells: as many as there are names.
            names: what each number is, for messages; "" if any finite number will do.
        """
        found = []
        for name, cell in zip(names, cells, strict=True):
            value = number(cell)
            if not math.isfinite(value) or (name and value < 0):
                what = name or "a column"
                expected = "a finite number, 0 or more" if name else "a finite number"
                self.wrong(line, f"{what} is {show(cell)}; expected {expected}")
                return None
            found.append(value)
        return found


def seconds_text(us: int) -> str:
    """Microseconds as seconds, exactly."""
    return exact(us / 1e6)
