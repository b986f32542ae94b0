"""What an importer makes: tables, and the block of a scenario that reads them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from afl_sim.scenario.yaml.writing import as_text

MOST_CLIENTS: Final = 1000
"""A scenario that is made has at most as many clients; a later edit can ask for more."""


@dataclass(frozen=True)
class Table:
    """A table that is written beside the scenario.

    Attributes:
        name: tells it from the other tables of one import, such as ``"devices"``.
        header: the names of its columns.
        rows: its cells as text.
    """

    name: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """The table as comma-separated values."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(self.rows)
        return out.getvalue()


@dataclass(frozen=True)
class File:
    """Stands in the clients' block for the name of a table's file."""

    table: str


@dataclass(frozen=True)
class Imported:
    """What was made of some files.

    Attributes:
        tables: what was measured.
        clients: the scenario's block without ``count``; `File` stands for the name of a file.
        count: how many clients the tables describe.
        exactly: whether the scenario must have so many clients.
        report: what was read and what was left out, a line for each.
    """

    tables: tuple[Table, ...]
    clients: Mapping[str, Any]
    count: int
    exactly: bool = False
    report: list[str] = field(default_factory=list)

    def scenario(self, files: Mapping[str, str]) -> str:
        """A scenario that can be run as it is.

        Args:
            files: by table, the name of its file.
        """
        count = self.count if self.exactly else min(self.count, MOST_CLIENTS)
        data = {
            "data": {"partition": {"kind": "iid", "samples": 100, "replacement": True}},
            "model": {"kind": "logistic"},
            "training": {"epochs": 1, "batch_size": 20, "optimizer": {"kind": "SGD", "lr": 0.05}},
            "clients": {"count": count, **_with_files(self.clients, files)},
            "strategy": {"kind": "fedasync", "concurrency": min(10, count)},
            "evaluation": {"every_versions": 50, "samples": 2000},
            "stop": {"updates": 100},
        }
        return as_text(data)


def _with_files(value: Any, files: Mapping[str, str]) -> Any:
    if isinstance(value, File):
        return files[value.table]
    if isinstance(value, Mapping):
        return {key: _with_files(item, files) for key, item in value.items()}
    return value


def counted(number: int, what: str) -> str:
    """``1 client``, ``2,000 clients``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def left_out(*dropped: Counter[str]) -> Iterable[str]:
    """A line for each reason for which something was left out, of one file or of several."""
    for reason, times in sorted(sum(dropped, start=Counter[str]()).items()):
        yield f"left out: {times:,} {reason}"
