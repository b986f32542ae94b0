"""Measured numbers in files: one column of a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from afl_sim.scenario.traces.tables import (
    CLIENT,
    ClientColumn,
    NumberClients,
    Numbers,
    Table,
    TableProblems,
    numbers_by_column,
    open_table,
    stamp,
)

By = Literal["sample", "client"]


@dataclass(frozen=True, slots=True)
class Column:
    """Which column of a table is meant, and how it is read.

    Attributes:
        name: of the column; None is enough where the file has only one.
        by: client: each row is a client, the one that a column ``client`` says, or the next one.
        factor: what each number is multiplied by.
        number_clients: how the ids of the column ``client`` become the numbers of clients.
        signed: whether the numbers may be below 0.
    """

    name: str | None = None
    by: By = "sample"
    factor: float = 1.0
    number_clients: NumberClients = None
    signed: bool = False


def read_trace(path: Path, column: Column) -> tuple[tuple[float, ...], str]:
    """The numbers of a column and the file's sha256.

    They are in the order of the rows, or of the clients where the file says which row is whose.

    Raises:
        TableProblems: the file or the column cannot be read so.
    """
    return _read(path, column, stamp(path))


@lru_cache(maxsize=32)
def _read(path: Path, column: Column, unchanged: tuple[int, int]) -> tuple[tuple[float, ...], str]:
    table = open_table(path)
    name = _chosen(table, column)
    clients = None
    if column.by == "client" and CLIENT in table.names and name != CLIENT:
        clients = ClientColumn(table, column.number_clients)
    elif column.number_clients is not None:
        table.need(CLIENT, ("number_clients",))
    kind = Numbers(name, least=-math.inf if column.signed else 0.0, factor=column.factor)
    values = numbers_by_column(table, [kind], clients)[name]
    return tuple(values), table.sha256


def _chosen(table: Table, column: Column) -> str:
    if column.name is not None:
        table.need(column.name, ("column",))
        return column.name
    if len(table.names) > 1:
        raise TableProblems([f"missing; {table.path} has {table.named()}"], ("column",))
    return table.names[0]
