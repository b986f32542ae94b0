"""Whole numbers of each client that are summed up part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from afl_sim.recording.ordering import stable_order

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

MOST_LISTED: Final = 1 << 22
"""Clients that are found by their number in a list; others are searched for."""


class ByClient:
    """Columns of whole numbers with a row for each client that has been seen; 0 at first.

    Attributes:
        clients: the clients seen so far, ascending.
    """

    def __init__(self, *names: str) -> None:
        self.clients = np.empty(0, dtype=np.int64)
        self._row_of = np.empty(0, dtype=np.int64)  # by client, of the first `MOST_LISTED`
        self._columns = {name: np.empty(0, dtype=np.int64) for name in names}

    def __getitem__(self, name: str) -> Numbers:
        """A column, in the order of `clients`."""
        return self._columns[name]

    def add(self, clients: Numbers, **values: Numbers | int) -> None:
        """Add to the numbers of clients, who may come several times."""
        rows = self.rows(clients)
        for name, numbers in values.items():
            np.add.at(self._columns[name], rows, numbers)

    def rows(self, clients: Numbers) -> Numbers:
        """The row of each client; who is new gets one, which may move those of others."""
        if not len(clients):
            return np.empty(0, dtype=np.int64)
        found = self._found(clients)
        if found is None:
            self._make_room(clients)
            found = self._found(clients)
        assert found is not None
        return found

    def _found(self, clients: Numbers) -> Numbers | None:
        """The row of each client; None if one has none yet."""
        largest = int(clients.max())
        if largest < MOST_LISTED:
            if largest >= len(self._row_of):
                return None
            rows = self._row_of[clients]
            return None if rows.min() < 0 else rows
        rows = np.searchsorted(self.clients, clients)
        if not len(self.clients) or largest > self.clients[-1]:
            return None
        return rows if np.array_equal(self.clients[rows], clients) else None

    def _make_room(self, clients: Numbers) -> None:
        everyone = np.union1d(self.clients, clients)
        place = np.searchsorted(everyone, self.clients)
        for name, column in self._columns.items():
            wider = np.zeros(len(everyone), dtype=np.int64)
            wider[place] = column
            self._columns[name] = wider
        self.clients = everyone
        listed = everyone[: np.searchsorted(everyone, MOST_LISTED)]
        if len(listed):
            self._row_of = np.full(int(listed[-1]) + 1, -1, dtype=np.int64)
            self._row_of[listed] = np.arange(len(listed))


class BusyTime:
    """How long each client had a task, from the events in their order.

    Attributes:
        of: the columns ``busy_us`` (microseconds, up to the client's last event), ``tasks`` (in
            flight) and ``since_us`` (the client's last event).
    """

    def __init__(self) -> None:
        self.of = ByClient("busy_us", "tasks", "since_us")

    def add(self, client: Numbers, time_us: Numbers, step: Numbers) -> None:
        """Take the next events: ``step`` is 1 where a task begins, and -1 where one ends."""
        rows = self.of.rows(client)
        order = stable_order(rows)
        rows, time_us, step = rows[order], time_us[order], step[order]
        new = np.append(True, rows[1:] != rows[:-1])[: len(rows)]
        begins = np.flatnonzero(new)
        lengths = np.diff(np.append(begins, len(rows)))
        running = np.cumsum(step)
        earlier = np.repeat(running[begins] - step[begins], lengths)
        after = running - earlier + self.of["tasks"][rows]
        last = np.where(new, self.of["since_us"][rows], np.append(0, time_us[:-1])[: len(rows)])
        np.add.at(self.of["busy_us"], rows, np.where(after - step > 0, time_us - last, 0))
        ends = begins + lengths - 1
        self.of["tasks"][rows[ends]] = after[ends]
        self.of["since_us"][rows[ends]] = time_us[ends]

    def until(self, end_us: int) -> Numbers:
        """Microseconds that each client had a task, up to the end; in the order of the clients."""
        left = np.where(self.of["tasks"] > 0, end_us - self.of["since_us"], 0)
        busy: Numbers = self.of["busy_us"] + left
        return busy
