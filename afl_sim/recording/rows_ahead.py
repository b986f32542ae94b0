"""Rows of the event log that are known before their time, and their places among the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from afl_sim.world.event_kinds import COMPUTED, DISPATCHED, DOWNLOADED, ROW

Rows = npt.NDArray[np.int64]
"""Events of shape (events, columns), in the columns of `afl_sim.recording.event_table.COLUMNS`."""

BLOCK: Final = 8192
"""Rows of which a row group has a whole number."""

TOLD: Final = ("sent", "number", "client", "task", "downloaded", "base_version", "computed",
                "bytes", "steps", "samples")  # fmt: skip
"""The columns of a task that is sent, and that nothing can disturb, until its rows are made of it.

The number of the task in the queue of events is below 0, which no kind is. Instants are in
microseconds: when it is sent and its legs end; -1 for a download that takes no time, whose row is
logged on its own. ``bytes`` is the size of the download.
"""

_AT: Final = {name: index for index, name in enumerate(TOLD)}
# A row that is to come has the columns of the log, and its order among others at the same instant.
_TIME, _KIND, _CLIENT, _TASK, _VERSION, _BASE, _STALENESS, _BYTES, _STEPS, _SAMPLES = range(10)
_SINCE, _NUMBER = 10, 11
_LOG: Final = slice(0, 10)


class RowsAhead:
    """The rows of legs whose ends are known when a task is sent.

    A row is given when its task is sent, and gets its place in the log when its time has come. No
    other event happens at that instant, so among the rows of events its time alone decides. Among
    each other such rows are in order of time, of the instant at which the leg began, and of the
    number that the task has in the queue of events.

    Args:
        full: called when there is much in the buffer.

    Attributes:
        buffer: packed rows of the log, with one for each task that is sent (see `TOLD`).
        most: how many bytes are much.
        full: as above.
        versions: when each version was made that may still be asked for, in microseconds; whoever
            makes one adds it.
    """

    def __init__(self, full: Callable[[], None]) -> None:
        self.buffer = bytearray()
        self.most = BLOCK * ROW.size
        self.full = full
        self._to_come: Rows = np.empty((0, 12), dtype=np.int64)
        self._withdrawn: dict[int, int] = {}  # number -> since when
        self.versions: list[int] = [0]
        self._first_version = 0  # the first of them
        self.reached_us = 0

    def __len__(self) -> int:
        """How many rows were not due when this was last looked at."""
        return len(self._to_come)

    def clear(self) -> None:
        """Forget all rows that are to come."""
        self._to_come = self._to_come[:0]
        self._withdrawn.clear()

    def withdraw(self, number: int, time_us: int) -> None:
        """Take back the rows of a task that are later than ``time_us``."""
        self._withdrawn[number] = time_us

    def reach(self, time_us: int) -> None:
        """All that happens before ``time_us`` has happened."""
        self.reached_us = max(self.reached_us, time_us)

    def merge(self, rows: Rows, contexts: dict[int, str]) -> tuple[Rows, dict[int, str]]:
        """Events with the rows that have come due among them.

        Args:
            rows: events in order of time, and those that tell of others (`TOLD`).
            contexts: what further belongs to a row, by the row's index.

        Returns:
            All of them, and the contexts by their new indices.
        """
        rows = self._split(rows)
        until = max(self.reached_us, self.versions[-1], int(rows[-1, 0]) if len(rows) else 0)
        due = self._due(until)
        due[:, _VERSION] = self._versions_at(due[:, _TIME])
        if not len(due):
            return rows, contexts
        times = due[:, _TIME]
        places = np.searchsorted(rows[:, 0], times)
        of_due = np.zeros(len(rows) + len(due), dtype=bool)
        of_due[places + np.arange(len(due))] = True
        index = np.empty(len(of_due), dtype=np.int64)
        index[of_due] = np.arange(len(rows), len(of_due))
        index[~of_due] = np.arange(len(rows))
        merged = np.concatenate([rows, due[:, _LOG]]).take(index, axis=0)  # whole rows are moved
        if contexts:
            shift = np.searchsorted(places, np.arange(len(rows)), side="right")
            contexts = {index + int(shift[index]): text for index, text in contexts.items()}
        return merged, contexts

    def _due(self, until: int) -> Rows:
        """Take out the rows before ``until``, in their order."""
        if not len(self._to_come):
            return self._to_come
        come = self._to_come[:, _TIME] < until
        which, later = np.flatnonzero(come), np.flatnonzero(~come)
        times = self._to_come[which, _TIME]
        order = np.argsort(times, kind="stable")
        times = times[order]
        if np.any(times[1:] == times[:-1]):  # seldom
            keys = [self._to_come[which, i] for i in (_KIND, _NUMBER, _SINCE, _TIME)]
            order = np.lexsort(keys)
        due = self._to_come.take(which[order], axis=0)
        self._to_come = self._to_come.take(later, axis=0)
        return due

    def _split(self, rows: Rows) -> Rows:
        """Take what is to come out of rows that tell it; returns the rows of the log."""
        tell = np.flatnonzero(rows[:, _KIND] < 0)
        if len(tell):
            given = rows[tell]
            self._expect(given)
            rows[tell, _KIND] = DISPATCHED
            rows[tell, _VERSION] = given[:, _BASE]
            rows[tell, _STALENESS] = -1
            rows[tell, _BYTES] = 0
        if self._withdrawn:
            self._forget_withdrawn()
        return rows

    def _expect(self, given: Rows) -> None:
        """Add the rows of the ends of legs to what is to come."""
        parts = [self._to_come]
        loads = given[:, _AT["downloaded"]] >= 0
        downloads = given if np.all(loads) else given[loads]
        since = np.where(loads, given[:, _AT["downloaded"]], given[:, _AT["sent"]])
        for kind, told, end, begun in (
            (DOWNLOADED, downloads, "downloaded", downloads[:, _AT["sent"]]),
            (COMPUTED, given, "computed", since),
        ):
            part = np.empty((len(told), 12), dtype=np.int64)
            part[:, _LOG] = told  # client, task, base version and work stay where they are
            part[:, _TIME] = told[:, _AT[end]]
            part[:, _KIND] = kind
            part[:, _STALENESS] = -1
            if kind == COMPUTED:
                part[:, _BYTES] = 0
            part[:, _SINCE] = begun
            part[:, _NUMBER] = -told[:, _AT["number"]]
            parts.append(part)
        self._to_come = np.concatenate(parts)

    def _forget_withdrawn(self) -> None:
        if not len(self._to_come):
            self._withdrawn.clear()
            return
        numbers = np.fromiter(self._withdrawn, np.int64, len(self._withdrawn))
        since = np.fromiter(self._withdrawn.values(), np.int64, len(self._withdrawn))
        order = np.argsort(numbers)
        numbers, since = numbers[order], since[order]
        place = np.minimum(np.searchsorted(numbers, self._to_come[:, _NUMBER]), len(numbers) - 1)
        meant = numbers[place] == self._to_come[:, _NUMBER]
        self._to_come = self._to_come[~(meant & (self._to_come[:, _TIME] > since[place]))]
        self._withdrawn.clear()

    def _versions_at(self, times: Rows) -> Rows:
        """The server's version at instants that have come, but are later than those of before."""
        made = np.array(self.versions, dtype=np.int64)
        versions: Rows = self._first_version + np.searchsorted(made, times, side="right") - 1
        past = len(made) - 1
        self._first_version += past
        del self.versions[:past]
        return versions
