"""Tables as text: comma-separated values in UTF-8, with a header row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from afl_sim.scenario.traces.tables import table as limits
from afl_sim.scenario.traces.tables.cells import is_number
from afl_sim.scenario.traces.tables.formats import (
    like_mahimahi,
    not_utf8,
    other_separator,
    refuse_other_formats,
)
from afl_sim.scenario.traces.tables.table import Table, TableProblems, too_many_rows
from afl_sim.scenario.wording import show

_LOOKED_AT = 100  # lines that tell what a file without a header is


class CsvTable(Table):
    """A table in text.

    Args:
        path: the file.
        content: its bytes.
        sha256: of those.

    Raises:
        TableProblems: the file is no such text, or has no proper header.
    """

    def __init__(self, path: Path, content: bytes, sha256: str) -> None:
        refuse_other_formats(path, content)
        self._lines = _split(path, content)
        line, cells = next(self._lines, (1, []))
        super().__init__(path, sha256, cells, f"{path}:{line}")
        if not cells:
            raise TableProblems([f"{path} is empty; expected a header row and rows under it"])
        self._check_header()

    def _check_header(self) -> None:
        cells = list(self.names)
        separator = other_separator(cells)
        if separator is not None:
            raise TableProblems(
                [f"{self.header}: the cells are separated by {separator}; expected commas"]
            )
        number = next((cell for cell in cells if is_number(cell)), None)
        if number is not None:
            message = (
                f"{self.header}: the header has the number {show(number)} as a name, so the file "
                "seems to have no header; expected the names of the columns"
            )
            if len(cells) == 1:
                below = [row[0] for _, row in islice(self._lines, _LOOKED_AT) if len(row) == 1]
                if like_mahimahi([number, *below]):
                    message += (
                        ". It looks like a Mahimahi trace, whose lines are the milliseconds at "
                        "which packets are delivered, not bandwidths; "
                        "`afl-sim import mahimahi` makes a table of it"
                    )
            raise TableProblems([message])
        self.refuse_names()

    def rows(self, names: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
        """See `Table.rows`."""
        wanted = [self.names.index(name) for name in names]
        width = len(self.names)
        for row, (line, cells) in enumerate(self._lines, start=1):
            if row > limits.MAX_ROWS:
                raise too_many_rows(self.path)
            if not cells:
                if width == 1:  # else it is no row at all
                    self.wrong(line, "an empty line; expected a cell")
            elif len(cells) != width:
                self.wrong(line, _wrong_length(cells, width))
            else:
                yield line, [cells[place] for place in wanted]


def _wrong_length(cells: list[str], width: int) -> str:
    told = f"{len(cells)} cell{'s' if len(cells) > 1 else ''}; expected {width}, as in the header"
    if len(cells) > width and all(map(is_number, cells)):
        told += " (the decimal sign is a point)"
    return told


def _split(path: Path, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """The rows, each with the line in which it begins; those between that are blank are empty."""
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)  # strict: an open quotation would swallow the rest
    line, blank = 1, 0
    began = False
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except UnicodeDecodeError:
            raise not_utf8(path, content) from None
        except csv.Error as error:
            raise TableProblems([f"{path}:{line}: not readable as CSV: {error}"]) from None
        if not cells:
            blank += began
        else:
            yield from ((each, []) for each in range(line - blank, line))
            yield line, [cell.strip() for cell in cells]
            began, blank = True, 0
        line = reader.line_num + 1
