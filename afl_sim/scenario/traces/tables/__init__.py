"""Tables in files: the one way in which every trace is opened, checked and read."""

from afl_sim.scenario.traces.tables.cells import Numbers
from afl_sim.scenario.traces.tables.clients import (
    CLIENT,
    Cells,
    ClientColumn,
    Id,
    Ids,
    NumberClients,
    cells_by_column,
    number_of,
    numbers_by_column,
)
from afl_sim.scenario.traces.tables.opening import open_table, stamp
from afl_sim.scenario.traces.tables.table import Table, TableProblems, refuse_changed

__all__ = [
    "CLIENT",
    "Cells",
    "ClientColumn",
    "Id",
    "Ids",
    "NumberClients",
    "Numbers",
    "Table",
    "TableProblems",
    "cells_by_column",
    "number_of",
    "numbers_by_column",
    "open_table",
    "refuse_changed",
    "stamp",
]
