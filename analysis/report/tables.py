"""Tables of a page. A cell has a text, a key for sorting, and possibly a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afl_sim.analysis.measures import has_events
from afl_sim.analysis.report.clients import COLUMNS, MOST, client_table, sampled
from afl_sim.analysis.report.links import link_to
from afl_sim.analysis.series import client_count
from afl_sim.analysis.tables import Texts
from afl_sim.recording import Run

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what it shows.
        value: the number that it is sorted by; empty if it is not known, None to sort by the text.
        link: the address that it leads to.
    """

    text: str
    value: str | None = None
    link: str | None = None


@dataclass(frozen=True)
class Table:
    """A table that can be sorted."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


def table_of(texts: Texts, note: str = "") -> Table:
    """A table of written values, sorted by the number that each begins with."""
    columns = [[Cell(text, _number(text)) for text in values] for _, values in texts]
    return Table([heading for heading, _ in texts], list(zip(*columns, strict=True)), note)


def runs_table(texts: Texts, runs: Sequence[Run], page: Path, name: str) -> Table:
    """A study's runs, each with a link to its own page if that is there.

    Args:
        texts: a column for each measure, a value for each run; the first names the runs.
        page: the file that the table is for, and ``name`` what a run's page is called.
    """
    table = table_of(texts)
    rows = []
    for run, (first, *others) in zip(runs, table.rows, strict=True):
        own = run.path / name
        link = link_to(own, page) if own.is_file() else None
        rows.append([Cell(first.text, first.value, link), *others])
    return Table(table.headings, rows)


def clients_table(run: Run) -> Table | None:
    """A run's clients; None where the run has left no events."""
    if not has_events(run):
        return None
    whole = client_table(run)
    table = sampled(whole)
    rows = [
        [Cell(str(client)), *map(_of_client, table.columns, values)]
        for client, values in zip(table.index, table.itertuples(index=False), strict=True)
    ]
    note = ""
    if len(table) < len(whole) or client_count(run) > MOST:
        note = f"{len(table):,} of {client_count(run):,} clients, spread over the order of speed."
    return Table(["client", *(COLUMNS[name][0] for name in table.columns)], rows, note)


def _of_client(name: str, value: Any) -> Cell:
    if isinstance(value, str):
        return Cell(value)
    if np.isnan(value):
        return Cell("-", "")
    return Cell(COLUMNS[name][1].format(value), f"{value:.10g}")


def _number(text: str) -> str | None:
    """The number at the beginning of a cell, without its separators."""
    first = text.partition(" ")[0].replace(",", "")
    try:
        float(first)
    except ValueError:
        return None
    return first
