"""The synchronous rounds of a run, from tasks that come part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from afl_sim.analysis.by_client import ByClient
from afl_sim.recording.ordering import stable_order

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from afl_sim.recording.columns import Column, Columns

MOST_VERSIONS: Final = 1 << 17
"""Versions that are kept one by one; of more, `CELLS` or fewer means of equally many are kept."""

CELLS: Final = 1 << 13
ROUNDS: Final = 0.9
"""The share of the versions that must be rounds: a buffer may hold tasks of one moment by
accident."""

_SUMS: Final = ("rounds", "version", "seconds", "waiting", "alone")
_COLUMNS: Final = ("version", "size", "sum", "max", "second", "last", "first_sent", "last_sent")


class Rounds:
    """The versions of tasks that were sent out at one moment, as tasks are added.

    Attributes:
        folded: whether the table has means of several rounds in a row.
    """

    def __init__(self) -> None:
        self._rows = {name: np.empty(0, dtype=np.int64) for name in _COLUMNS}
        self._versions = self._found = 0  # of the versions that are folded
        self._last = ByClient("rounds")
        self._cells = {name: np.zeros(CELLS) for name in _SUMS}
        self._shift = 0

    @property
    def folded(self) -> bool:
        """Whether a row of the table may stand for several rounds."""
        return self._versions > 0

    def add(self, tasks: Columns) -> None:
        """Take further tasks."""
        used = np.flatnonzero((tasks["aggregated"] >= 0) & (tasks["arrived"] >= 0))
        if not len(used):
            return
        version, sent = tasks["version"][used], tasks["dispatched"][used]
        spent = tasks["arrived"][used] - sent
        order = stable_order(version)
        version, sent, spent = version[order], sent[order], spent[order]
        begin = np.flatnonzero(np.append(True, version[1:] != version[:-1]))
        size = np.diff(np.append(begin, len(version)))
        longest = np.maximum.reduceat(spent, begin)
        end = np.flatnonzero(spent == np.repeat(longest, size))
        end = end[np.append(version[end][1:] != version[end][:-1], True)]  # the last of equals
        others = spent.copy()
        others[end] = -1
        found = {
            "version": version[begin],
            "size": size,
            "sum": np.add.reduceat(spent, begin),
            "max": longest,
            "second": np.maximum.reduceat(others, begin),
            "last": tasks["client"][used][order][end],
            "first_sent": np.minimum.reduceat(sent, begin),
            "last_sent": np.maximum.reduceat(sent, begin),
        }
        self._rows = _merged(self._rows, found)
        if len(self._rows["version"]) > MOST_VERSIONS:
            self._fold(MOST_VERSIONS // 2)

    def table(self) -> pd.DataFrame:
        """The rounds in order; no rows unless nine in ten versions are rounds.

        Columns: ``version``, ``seconds``, ``waiting``, ``alone`` and ``rounds``, the number of
        rounds of which the row has the means; where none is folded also ``last``.
        """
        import pandas as pd

        names = ["version", "seconds", "last", "waiting", "alone", "rounds"]
        if self.folded:
            self._fold(len(self._rows["version"]))
            count = self._cells["rounds"]
            there = count > 0
            names.remove("last")
            found = {name: sums[there] / count[there] for name, sums in self._cells.items()}
            table = pd.DataFrame({**found, "rounds": count[there].astype(np.int64)})[names]
            share = self._found / self._versions
        else:
            is_round = _is_round(self._rows)
            rows = {name: column[is_round] for name, column in self._rows.items()}
            shares = _shares(rows)
            table = pd.DataFrame({**rows, **shares, "rounds": 1})[names]
            share = float(is_round.mean()) if len(is_round) else 0.0
        return table if share >= ROUNDS else table.iloc[:0]

    def last(self) -> pd.Series:
        """How many rounds each client was the last of, by client; the most often last first."""
        import pandas as pd

        table = self.table()
        if not self.folded:
            return table["last"].value_counts()
        counts = pd.Series(self._last["rounds"], index=self._last.clients)
        return counts[counts > 0].sort_values(ascending=False, kind="stable")

    def _fold(self, count: int) -> None:
        """Put the first so many versions into cells."""
        rows = {name: column[:count] for name, column in self._rows.items()}
        self._rows = {name: column[count:] for name, column in self._rows.items()}
        is_round = _is_round(rows)
        self._versions += len(is_round)
        self._found += int(is_round.sum())
        rows = {name: column[is_round] for name, column in rows.items()}
        if not len(rows["version"]):
            return
        self._last.add(rows["last"], rounds=1)
        while int(rows["version"].max()) >> self._shift >= CELLS:
            self._cells = {name: _halved(sums) for name, sums in self._cells.items()}
            self._shift += 1
        cell = rows["version"] >> self._shift
        np.add.at(self._cells["rounds"], cell, 1)
        np.add.at(self._cells["version"], cell, rows["version"])
        for name, values in _shares(rows).items():
            np.add.at(self._cells[name], cell, values)


def _is_round(rows: Columns) -> npt.NDArray[np.bool_]:
    together = rows["first_sent"] == rows["last_sent"]
    found: npt.NDArray[np.bool_] = (rows["size"] > 1) & together & (rows["max"] > 0)
    return found


def _shares(rows: Columns) -> dict[str, npt.NDArray[np.float64]]:
    longest = rows["max"]
    return {
        "seconds": longest / 1e6,
        "waiting": 1 - rows["sum"] / rows["size"] / longest,
        "alone": 1 - rows["second"] / longest,
    }


def _halved(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.append(sums[0::2] + sums[1::2], np.zeros(CELLS // 2))


def _merged(old: Columns, new: Columns) -> dict[str, Column]:
    """Rows of versions, of which some may be in both, in order of the version."""
    before = int(np.searchsorted(old["version"], new["version"][0]))
    earlier = {name: old[name][:before] for name in _COLUMNS}
    if before < len(old["version"]):
        new = _both({name: old[name][before:] for name in _COLUMNS}, new)
    return {name: np.concatenate([earlier[name], new[name]]) for name in _COLUMNS}


def _both(old: Columns, new: Columns) -> dict[str, Column]:
    versions = np.union1d(old["version"], new["version"])
    a, b = (_spread(rows, versions) for rows in (old, new))
    later = b["max"] >= a["max"]
    return {
        "version": versions,
        "size": a["size"] + b["size"],
        "sum": a["sum"] + b["sum"],
        "max": np.maximum(a["max"], b["max"]),
        "second": np.where(
            later, np.maximum(a["max"], b["second"]), np.maximum(b["max"], a["second"])
        ),
        "last": np.where(later, b["last"], a["last"]),
        "first_sent": np.minimum(a["first_sent"], b["first_sent"]),
        "last_sent": np.maximum(a["last_sent"], b["last_sent"]),
    }


def _spread(rows: Columns, versions: Column) -> dict[str, Column]:
    """Rows for all of ``versions``, such that those that are not there change nothing."""
    absent = dict.fromkeys(_COLUMNS, -1) | {"size": 0, "sum": 0}
    absent["first_sent"] = np.iinfo(np.int64).max
    place = np.searchsorted(versions, rows["version"])
    found = {}
    for name in _COLUMNS:
        found[name] = np.full(len(versions), absent[name], dtype=np.int64)
        found[name][place] = rows[name]
    return found
