"""A table as its readers see it, whatever the format of its file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from afl_sim.scenario.units import Quantity
from afl_sim.scenario.wording import hint

MAX_ROWS = 10_000_000
MOST_TOLD = 20
_MOST_NAMED = 20


class TableProblems(Exception):
    """A table cannot be used.

    Attributes:
        messages: what is wrong with it, one line for each mistake.
        key: the scenario key to blame, which stands beside ``trace``, as a path.
    """

    def __init__(self, messages: Sequence[str], key: tuple[str, ...] = ("trace",)) -> None:
        super().__init__("\n".join(messages))
        self.messages = list(messages)
        self.key = key


def refuse_changed(path: Path, sha256: str | None, now: str) -> None:
    """Refuse a file that is no longer the one that a scenario was resolved with.

    Args:
        path: the file.
        sha256: of what it held then; None if it has not been read before.
        now: of what it holds.

    Raises:
        TableProblems: they differ.
    """
    if sha256 not in (None, now):
        raise TableProblems([f"{path} has changed: its sha256 is now {now}"], ("sha256",))


class Table(ABC):
    """An open table. It collects the mistakes in its rows, so that all are told at once.

    Args:
        path: the file.
        sha256: of the bytes that were read.
        names: of the columns, in order.
        header: where the names are written, for messages.
    """

    def __init__(self, path: Path, sha256: str, names: Sequence[str], header: str) -> None:
        self.path = path
        self.sha256 = sha256
        self.names = tuple(names)
        self.header = header
        self.times: Collection[str] = ()
        """The columns that may hold dates and times, which come as `Instant` where they are no
        text."""
        self._told: list[tuple[int, str]] = []
        self._mistakes = 0

    @abstractmethod
    def rows(self, names: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        """The cells of these columns, row by row, each row with its number.

        In text the number is the line in which the row begins, and a row without as many cells as
        the header is a mistake and left out. In Parquet rows are counted from 1.

        Raises:
            TableProblems: the file cannot be read on, or a column can hold no numbers or ids.
        """

    def wrong(self, line: int, message: str) -> None:
        """Note a mistake in a row."""
        self._mistakes += 1
        if len(self._told) < MOST_TOLD:
            self._told.append((line, f"{self.path}:{line}: {message}"))

    def refuse_mistakes(self) -> None:
        """Raise TableProblems if any mistake was noted."""
        if not self._mistakes:
            return
        lines = [message for _, message in sorted(self._told, key=lambda told: told[0])]
        more = self._mistakes - len(lines)
        if more:
            what = "1 more mistake" if more == 1 else f"{more:,} more mistakes"
            lines.append(f"{self.path}: and {what}")
        raise TableProblems(lines)

    def refuse_no_rows(self, rows: Collection[Any]) -> None:
        """Raise TableProblems if there are none."""
        if not rows:
            raise TableProblems([f"{self.path} has no rows"])

    def refuse_names(self) -> None:
        """Raise TableProblems if a column has no name, or the name of another column."""
        problems = []
        for place, name in enumerate(self.names, start=1):
            if not name:
                problems.append(
                    f"{self.header}: column {place} has no name; expected a name for each column "
                    "(pandas writes its index in this way, without index=False)"
                )
        for name in dict.fromkeys(self.names):
            if name and (times := self.names.count(name)) > 1:
                how_often = "twice" if times == 2 else f"{times} times"
                problems.append(f"{self.header}: column {name!r} {how_often}; expected it once")
        if problems:
            raise TableProblems(problems)

    def need(self, name: str, key: tuple[str, ...] = ("trace",)) -> None:
        """Raise TableProblems if there is no column of this name."""
        if name not in self.names:
            raise TableProblems(
                [
                    f"{self.header}: no column {name!r}; the file has "
                    f"{self.named()}{hint(name, self.names)}"
                ],
                key,
            )

    def refuse_other_unit(self, name: str, quantity: Quantity) -> None:
        """Raise TableProblems if a column's name says a unit of something else."""
        why = quantity.misnamed(name)
        if why is not None:
            raise TableProblems([f"{self.header}: {why}"], ("column",))

    def named(self) -> str:
        """The names of the columns as a message lists them."""
        more = len(self.names) - _MOST_NAMED
        listed = ", ".join(self.names[:_MOST_NAMED])
        return f"{listed} and {more} more" if more > 0 else listed


def too_many_rows(path: Path, rows: int | None = None) -> TableProblems:
    """The error for a table with too many rows; ``rows`` is their number, if it is known."""
    found = "more" if rows is None else f"{rows:,}"
    return TableProblems([f"{path}: {found} rows; expected at most {MAX_ROWS:,}"])
