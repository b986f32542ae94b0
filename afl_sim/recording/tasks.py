"""Tasks from events: one row for each task of a client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from afl_sim.recording.columns import Column, Columns, columns_of
from afl_sim.world.event_kinds import (
    ARRIVED,
    DISPATCHED,
    DOWNLOADED,
    KIND_NAMES,
    REFRESHED,
    REQUESTED,
)

if TYPE_CHECKING:
    import pandas as pd

MILESTONES: Final = (
    *("dispatched", "downloaded", "started", "computed", "arrived", "cancelled", "failed"),
)
FATES: Final = ("in flight", "arrived", "aggregated", "discarded", "cancelled", "failed")

_NAMES: Final = ("client", "task", "base_version")
_AMOUNTS: Final = ("steps", "samples")
_ROOM: Final = 8  # numbers of tasks for each row of events
_TIMES: Final = (*MILESTONES, "queued", "aggregated", "discarded")
_REFRESH: Final = ("requested", "refreshed")


def task_table(events: pd.DataFrame) -> pd.DataFrame:
    """One row per dispatched task, in order of dispatch.

    Args:
        events: as `Run.events` gives them.

    Returns:
        Columns ``client``, ``task``, ``base_version``; the times in microseconds at which it was
        ``dispatched``, ``downloaded``, ``started``, ``computed``, ``arrived``, ``cancelled``,
        ``failed`` and first ``aggregated`` (``<NA>`` where it never was), ``started`` being later
        than ``downloaded`` by the wait in its client's queue; ``requested`` and ``refreshed``,
        between which its computation stood still for a newer model; ``ended``, the first of
        arrived, cancelled and failed; ``version`` (that its update first went into), ``staleness``,
        ``steps``, ``samples`` and ``bytes`` (down and up); ``fate``: ``aggregated``,
        ``discarded``, ``arrived`` (and still in a buffer), ``cancelled``, ``failed`` or
        ``in flight``.
    """
    import pandas as pd

    table = {}
    for name, values in task_columns(columns_of(events)).items():
        if name == "fate":
            table[name] = pd.Categorical.from_codes(values, categories=FATES)
        elif name == "bytes":
            table[name] = values
        else:
            table[name] = pd.arrays.IntegerArray(values, values == -1)
    return pd.DataFrame(table)


def task_columns(events: Columns) -> dict[str, Column]:
    """The columns of `task_table`: -1 where a value is absent, and fates by their place in `FATES`.

    Args:
        events: the integers of an event log by column, -1 where one is absent. ``base_version``,
            ``bytes``, ``steps`` and ``samples`` may be left out. With a further column
            ``link_us``, the table has ``down_bytes``, ``fresh_bytes`` and ``up_bytes``,
            ``down_link_us``, ``fresh_link_us`` and ``up_link_us``, of the first row that says that
            the transfer is over.
    """
    return _tasks_and_rows(events)[0]


def task_batches(events: Iterable[Columns]) -> Iterator[dict[str, Column]]:
    """The tasks of an event log that comes in batches, in the columns of `task_columns`.

    Only the rows of tasks whose fate is open are kept from one batch to the next, so the memory
    does not grow with the log. Tasks come once their fate is known, and those of one client in the
    order of their dispatch. What is open at the end comes last.

    Args:
        events: the columns of `task_columns`, in order.
    """
    kept: Columns | None = None
    for batch in events:
        rows = batch if kept is None else _joined(kept, batch)
        tasks, task_of, listed = _tasks_and_rows(rows)
        leaves = _settled(tasks)
        yield {name: column[leaves] for name, column in tasks.items()}
        # Rows of no task here are those of a task that has left already: they change nothing.
        stays = listed.copy()
        stays[listed] = ~leaves[task_of[listed]]
        kept = {name: column[stays] for name, column in rows.items()}
    if kept is not None:
        yield task_columns(kept)


def _joined(before: Columns, after: Columns) -> dict[str, Column]:
    return {name: np.concatenate([before[name], column]) for name, column in after.items()}


def _settled(tasks: Columns) -> npt.NDArray[np.bool_]:
    """Which tasks can leave: their fate is known, and so is that of all before of their client."""
    fate, client = tasks["fate"], tasks["client"]
    known = fate > FATES.index("arrived")
    waiting, first = np.unique(client[~known], return_index=True)
    if not len(waiting):
        return known
    first_open = np.flatnonzero(~known)[first]
    place = np.minimum(np.searchsorted(waiting, client), len(waiting) - 1)
    behind = (waiting[place] == client) & (np.arange(len(client)) > first_open[place])
    settled: npt.NDArray[np.bool_] = known & ~behind
    return settled


def _tasks_and_rows(
    events: Columns,
) -> tuple[dict[str, Column], Column, npt.NDArray[np.bool_]]:
    """The tasks; the task of each row; and whether the row is of one of them at all."""
    sent, task_of = _dispatches(events)
    listed = task_of >= 0
    kind = np.where(listed, events["kind"], -1)

    def first_of(chosen: npt.NDArray[np.bool_], column: str) -> Column:
        found = np.full(len(sent), -1, dtype=np.int64)
        backwards = np.flatnonzero(chosen)[::-1]  # so that the first is written last
        found[task_of[backwards]] = events[column][backwards]
        return found

    table = {name: events[name][sent] for name in _NAMES if name in events}
    for name in _TIMES:
        chosen = kind == KIND_NAMES.index(name)
        table[name] = first_of(chosen, "time_us")
        if name == "aggregated":
            table["version"] = first_of(chosen, "version")
            table["staleness"] = first_of(chosen, "staleness")
    asks = bool((kind == REQUESTED).any())
    for name in _REFRESH:
        if asks:
            table[name] = first_of(kind == KIND_NAMES.index(name), "time_us")
        else:
            table[name] = np.full(len(sent), -1, dtype=np.int64)
    # What is recalled from a queue has a computation of no length; who need not queue has no row.
    turn = np.where(table["queued"] >= 0, table["computed"], table["downloaded"])
    table["started"] = np.where(table["started"] >= 0, table["started"], turn)
    moved = (kind == DOWNLOADED) | (kind == ARRIVED)
    if asks:
        moved |= kind == REFRESHED
    if "bytes" in events:
        table["bytes"] = np.zeros(len(sent), dtype=np.int64)
        np.add.at(table["bytes"], task_of[moved], events["bytes"][moved])
    for name in _AMOUNTS:
        if name not in events:
            continue
        table[name] = np.full(len(sent), -1, dtype=np.int64)
        told = listed & (events[name] >= 0)
        table[name][task_of[told]] = events[name][told]  # the last one stays
    ends = np.stack([table[name] for name in ("arrived", "cancelled", "failed")])
    never = np.iinfo(np.int64).max
    ended = np.where(ends >= 0, ends, never).min(axis=0)
    table["ended"] = np.where(ended < never, ended, -1)
    table["fate"] = np.zeros(len(sent), dtype=np.int64)
    for name in ("arrived", "discarded", "aggregated", "cancelled", "failed"):
        table["fate"][table[name] >= 0] = FATES.index(name)
    if "link_us" in events:
        for way, end in (("down", DOWNLOADED), ("fresh", REFRESHED), ("up", ARRIVED)):
            table[f"{way}_bytes"] = first_of(kind == end, "bytes")
            table[f"{way}_link_us"] = first_of(kind == end, "link_us")
    del table["queued"], table["discarded"]
    return table, task_of, listed


def _dispatches(events: Columns) -> tuple[Column, Column]:
    """The rows in which tasks are first dispatched, in order; and of each row the place of its task
    among them, -1 if it is of none of them."""
    group_of, groups = _groups(events["client"], events["task"])
    sent = np.flatnonzero(events["kind"] == DISPATCHED)
    first = np.full(groups, -1, dtype=np.int64)
    first[group_of[sent[::-1]]] = sent[::-1]  # so that the first is written last
    sent = sent[first[group_of[sent]] == sent]
    place = np.full(groups, -1, dtype=np.int64)
    place[group_of[sent]] = np.arange(len(sent))
    return sent, place[group_of]


def _groups(client: Column, task: Column, room: int = _ROOM) -> tuple[Column, int]:
    """For each row a number that all rows of its task have and no others; and how many there are.

    Not all of them need occur.

    Args:
        client, task: the tasks.
        room: numbers for each row. If they do not suffice, rows are sorted, which takes longer.
    """
    if not len(client):
        return np.empty(0, dtype=np.int64), 0
    lowest = int(client.min())
    clients = int(client.max()) - lowest + 1
    if clients <= room * len(client):
        row = client - lowest
        first = np.full(clients, np.iinfo(np.int64).max)
        last = np.full(clients, -1, dtype=np.int64)
        np.minimum.at(first, row, task)
        np.maximum.at(last, row, task)
        there = last >= first
        if (last[there].astype(np.float64) - first[there] + 1).sum() <= room * len(client):
            lengths = np.where(there, last - first + 1, 0)
            ends = np.cumsum(lengths)
            return (ends - lengths - first)[row] + task, int(ends[-1])
    order = np.lexsort((task, client))
    new = (np.diff(client[order]) != 0) | (np.diff(task[order]) != 0)
    group_of = np.empty(len(client), dtype=np.int64)
    group_of[order] = np.cumsum(np.append(False, new))
    return group_of, int(group_of[order[-1]]) + 1
