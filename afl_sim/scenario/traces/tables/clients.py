"""The column ``client`` of a table: the client of each row."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from afl_sim.scenario.traces.tables.cells import Numbers, number
from afl_sim.scenario.traces.tables.table import Table, TableProblems
from afl_sim.scenario.wording import show

CLIENT: Final = "client"
MOST_CLIENTS: Final = 10_000_000
NumberClients = Literal["in_order"] | None
"""None: ids that are numbers are those of the clients, from 0, and names are numbered by order;
in_order: all ids are numbered by order."""

Id = int | str
_WHOLE = re.compile(r"[+-]?[0-9]{1,100}\Z")


class ClientColumn:
    """Reads the ids of a table's rows, and then says which client each is.

    Args:
        table: to which mistakes are added.
        number_clients: how ids become the numbers of clients.
    """

    def __init__(self, table: Table, number_clients: NumberClients) -> None:
        self._table = table
        self._in_order = number_clients == "in_order"
        self._numbered: int | None = None  # the first line with a number, and with a name
        self._named: int | None = None

    def read(self, line: int, cell: Any) -> Id | None:
        """The id in a cell; None, and a mistake of the table's, if it is no proper one."""
        whole = _whole(cell)
        if self._in_order:
            text = cell if isinstance(cell, str) else ""
            if whole is not None:
                return text or whole  # 7 and 007 may be two names, if others are no numbers
            if _is_name(text):
                return text
            self._table.wrong(line, f"client is {show(cell)}; expected a whole number or a name")
            return None
        if isinstance(cell, str) and _is_plainly_a_name(cell):
            if self._numbered is not None:
                self._mixed(line, cell, f"line {self._numbered} has a number")
                return None
            self._named = self._named or line
            return cell
        if whole is None or not 0 <= whole < MOST_CLIENTS:
            self._table.wrong(
                line, f"client is {show(cell)}; expected a whole number from 0, or a name"
            )
            return None
        if self._named is not None:
            self._mixed(line, cell, f"line {self._named} has a name")
            return None
        self._numbered = self._numbered or line
        return whole

    def _mixed(self, line: int, cell: Any, but: str) -> None:
        self._table.wrong(
            line,
            f"client is {show(cell)}, but {but}; expected the same in all rows, or "
            "number_clients: in_order",
        )

    def numbers(self, ids: Iterable[Id]) -> dict[Id, int]:
        """Which client each id is.

        Names are numbered in their order. In order, ids that are all whole numbers are ordered as
        numbers, so that 2 is before 10, and `7` and `007` are one; else all are ordered as text, by
        the codes of their characters.
        """
        found = dict.fromkeys(ids)
        wholes = {each: _whole(each) for each in found}
        if not self._in_order and self._named is None:
            return {each: whole for each, whole in wholes.items() if whole is not None}
        if None in wholes.values():
            return {each: i for i, each in enumerate(sorted(found, key=str))}
        ranks = {whole: i for i, whole in enumerate(sorted(set(wholes.values())))}  # type: ignore[type-var]
        return {each: ranks[whole] for each, whole in wholes.items()}

    def one_row_each(self, ids: Sequence[Id], lines: Sequence[int]) -> list[int]:
        """For clients 0, 1, ... the index of their row.

        Args:
            ids: of the rows.
            lines: of the rows.

        Raises:
            TableProblems: a client has two rows, or one has none.
        """
        numbers = self.numbers(ids)
        rows: dict[int, int] = {}
        for row, each in enumerate(ids):
            first = rows.setdefault(numbers[each], row)
            if first != row:
                place = f"{self._table.path.name}:{lines[first]}"
                self._table.wrong(lines[row], f"client {show(each)} already has a row, {place}")
        self._table.refuse_mistakes()
        clients = max(rows) + 1
        absent = clients - len(rows)
        if absent:
            first = next(client for client in range(clients) if client not in rows)
            path = f"{self._table.path}: the largest client is {clients - 1:,}"
            raise TableProblems([without_rows(path, absent, clients, first)])
        return [rows[client] for client in range(clients)]


def _is_name(text: str) -> bool:
    return bool(text) and math.isnan(number(text)) and text.lower() != "nan"


def _is_plainly_a_name(text: str) -> bool:
    """Whether a text is no number that is written in another way."""
    other = re.match(r"0[xXbBoO][0-9a-fA-F_]+\Z|(?i:true|false|inf|nan)\Z", text)
    return _is_name(text) and other is None and any(map(str.isalpha, text))


class Cells(Protocol):
    """How the cells of a column are read."""

    @property
    def name(self) -> str:
        """The column."""

    def read(self, table: Table, line: int, cell: Any) -> Any:
        """What a cell holds; anything, and a mistake of the table's, if that is wrong."""


@dataclass(frozen=True, slots=True)
class Ids:
    """A column with the ids that clients have in another file.

    Attributes:
        name: the column.
    """

    name: str

    def read(self, table: Table, line: int, cell: Any) -> Id:
        """The id in a cell."""
        whole = _whole(cell)
        if whole is None and not (isinstance(cell, str) and _is_name(cell)):
            table.wrong(line, f"{self.name} is {show(cell)}; expected a whole number or a name")
        return cell if isinstance(cell, str) else whole or 0


def number_of(client: Id, numbers: Mapping[Id, int] | None) -> int | None:
    """Which client an id in another file means; None if it means none.

    Args:
        client: the id.
        numbers: the client of each id (`ClientColumn.numbers`); None if ids are numbers of clients.
    """
    whole = _whole(client)
    if numbers is None:
        return whole
    ways = (client, whole, str(client))
    return next((numbers[way] for way in ways if way is not None and way in numbers), None)


def cells_by_column(
    table: Table, kinds: Sequence[Cells], clients: ClientColumn | None = None
) -> dict[str, list[Any]]:
    """What some columns hold, by name.

    Args:
        table: it is read to its end.
        kinds: the columns, at least one, and how their cells are read.
        clients: reads the column `CLIENT`, and the rows come in the order of the clients; None if
            they come in their own order.

    Raises:
        TableProblems: a cell is wrong, there are no rows, or a client has none or two.
    """
    columns: dict[str, list[Any]] = {kind.name: [] for kind in kinds}
    ids, lines = [], []
    for line, cells in table.rows([*columns, CLIENT] if clients is not None else list(columns)):
        for kind, cell in zip(kinds, cells, strict=False):
            columns[kind.name].append(kind.read(table, line, cell))
        if clients is not None:
            ids.append(clients.read(line, cells[-1]))
            lines.append(line)
    table.refuse_mistakes()
    table.refuse_no_rows(columns[kinds[0].name])
    if clients is not None:
        order = clients.one_row_each([each for each in ids if each is not None], lines)
        columns = {name: [values[row] for row in order] for name, values in columns.items()}
    return columns


def numbers_by_column(
    table: Table, kinds: Sequence[Numbers], clients: ClientColumn | None = None
) -> dict[str, list[float]]:
    """`cells_by_column` of numbers."""
    return cells_by_column(table, kinds, clients)


def without_rows(path: str, absent: int, clients: int, first: int) -> str:
    """The error for a table that has no row for some clients."""
    verb = "has" if absent == 1 else "have"
    return (
        f"{path}: of clients 0 to {clients - 1:,}, {absent:,} {verb} no row; the first is client "
        f"{first:,}. Clients are counted from 0; expected a row for each, or number_clients: "
        "in_order, which numbers the clients of the file by the order of their ids"
    )


def _whole(cell: Any) -> int | None:
    """The cell as a whole number, exact however large it is; None if it is none."""
    if isinstance(cell, int):
        return None if isinstance(cell, bool) else cell
    if isinstance(cell, str) and _WHOLE.match(cell):
        return int(cell)
    value = number(cell)
    # Beyond 2**53 a floating-point number stands for several whole ones.
    return int(value) if abs(value) < 2**53 and value == int(value) else None
