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
from afl_sim.scenario.units import Quantity

By = Literal["sample", "client"]


@dataclass(frozen=True, slots=True)
class Column:
    """Which column of a table is meant, and how it is read.

    Attributes:
        name: of the column; None is enough where the file has only one.
        by: client: each row is a client, the one that a column ``client`` says, or the next one.
        factor: what each number is multiplied by; None: what the unit in the column's name says.
        number_clients: how the ids of the column ``client`` become the numbers of clients.
        signed: whether the numbers may be below 0.
        quantity: what the numbers measure; None: something without a unit.
    """

    name: str | None = None
    by: By = "sample"
    factor: float | None = None
    number_clients: NumberClients = None
    signed: bool = False
    quantity: Quantity | None = None


def read_trace(path: Path, column: Column) -> tuple[tuple[float, ...], str, float]:
    """The numbers of a column, the file's sha256, and the factor that the numbers were given.

    They are in the order of the rows, or of the clients where the file says which row is whose.

    Raises:
        TableProblems: the file or the column cannot be read so.
    """
    return _read(path, column, stamp(path))


@lru_cache(maxsize=32)
def _read(
    path: Path, column: Column, unchanged: tuple[int, ...]
) -> tuple[tuple[float, ...], str, float]:
    table = open_table(path)
    name = _chosen(table, column)
    clients = None
    if column.by == "client" and CLIENT in table.names and name != CLIENT:
        clients = ClientColumn(table, column.number_clients)
    elif column.number_clients is not None:
        table.need(CLIENT, ("number_clients",))
    factor = column.factor
    if factor is None:
        if column.quantity is not None:
            table.refuse_other_unit(name, column.quantity)
        named = column.quantity.of_column(name) if column.quantity is not None else None
        factor = 1.0 if named is None else named
    kind = Numbers(name, least=-math.inf if column.signed else 0.0, factor=factor)
    values = numbers_by_column(table, [kind], clients)[name]
    return tuple(values), table.sha256, factor


def _chosen(table: Table, column: Column) -> str:
    if column.name is not None:
        table.need(column.name, ("column",))
        return column.name
    if len(table.names) > 1:
        raise TableProblems([f"missing; {table.path} has {table.named()}"], ("column",))
    return table.names[0]
