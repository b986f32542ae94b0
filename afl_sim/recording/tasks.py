"""Tasks from events: one row for each task of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from afl_sim.recording.columns import Column, Columns, columns_of
from afl_sim.world.event_kinds import ARRIVED, DISPATCHED, DOWNLOADED, KIND_NAMES

if TYPE_CHECKING:
    import pandas as pd

MILESTONES: Final = (
    *("dispatched", "downloaded", "started", "computed", "arrived", "cancelled", "failed"),
)
FATES: Final = ("in flight", "arrived", "aggregated", "discarded", "cancelled", "failed")

_TIMES: Final = (*MILESTONES, "queued", "aggregated", "discarded")


def task_table(events: pd.DataFrame) -> pd.DataFrame:
    """One row per dispatched task, in order of dispatch.

    Args:
        events: as `Run.events` gives them.

    Returns:
        Columns ``client``, ``task``, ``base_version``; the times in microseconds at which it was
        ``dispatched``, ``downloaded``, ``started``, ``computed``, ``arrived``, ``cancelled``,
        ``failed`` and first ``aggregated`` (``<NA>`` where it never was), ``started`` being later
        than ``downloaded`` by the wait in its client's queue; ``ended``, the first of arrived,
        cancelled and failed; ``version`` (that its update first went into), ``staleness``,
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
        events: the integers of an event log by column, -1 where one is absent.
    """
    sent = np.flatnonzero(events["kind"] == DISPATCHED)
    keys = _keys(events)
    _, first = np.unique(keys[sent], return_index=True)
    sent = sent[np.sort(first)]  # in order of dispatch
    task_of, listed = _places(keys, keys[sent])
    kind = np.where(listed, events["kind"], -1)

    def first_of(chosen: npt.NDArray[np.bool_], column: str) -> Column:
        found = np.full(len(sent), -1, dtype=np.int64)
        backwards = np.flatnonzero(chosen)[::-1]  # so that the first is written last
        found[task_of[backwards]] = events[column][backwards]
        return found

    table = {name: events[name][sent] for name in ("client", "task", "base_version")}
    for name in _TIMES:
        chosen = kind == KIND_NAMES.index(name)
        table[name] = first_of(chosen, "time_us")
        if name == "aggregated":
            table["version"] = first_of(chosen, "version")
            table["staleness"] = first_of(chosen, "staleness")
    # What is recalled from a queue has a computation of no length; who need not queue has no row.
    turn = np.where(table["queued"] >= 0, table["computed"], table["downloaded"])
    table["started"] = np.where(table["started"] >= 0, table["started"], turn)
    moved = (kind == DOWNLOADED) | (kind == ARRIVED)
    table["bytes"] = np.zeros(len(sent), dtype=np.int64)
    np.add.at(table["bytes"], task_of[moved], events["bytes"][moved])
    for name in ("steps", "samples"):
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
    return {name: column for name, column in table.items() if name not in ("queued", "discarded")}


def _keys(events: Columns) -> npt.NDArray[np.uint64]:
    """One number for each client and task."""
    client = events["client"]
    if client.size and client.max() >= 1 << 31:  # no room beside the task: their order will do
        client = np.unique(client, return_inverse=True)[1]
    clients, tasks = client.astype(np.uint64), events["task"].astype(np.uint64)
    keys: npt.NDArray[np.uint64] = (clients << np.uint64(32)) + tasks
    return keys


def _places(
    keys: npt.NDArray[np.uint64], among: npt.NDArray[np.uint64]
) -> tuple[Column, npt.NDArray[np.bool_]]:
    """The position of each key in a list of distinct keys, and whether it is in the list."""
    if not len(among):
        return np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=np.bool_)
    order = np.argsort(among)
    found = np.searchsorted(among, keys, sorter=order)
    places = order[np.minimum(found, len(among) - 1)]
    return places, among[places] == keys
