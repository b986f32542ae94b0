"""Tasks from events: one row for each piece of work that a client was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

MILESTONES: Final = (
    *("dispatched", "downloaded", "started", "computed", "arrived", "cancelled", "failed"),
)
FATES: Final = ("in flight", "arrived", "aggregated", "discarded", "cancelled", "failed")


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

    rows = events[events["task"].notna()]
    kinds = rows["kind"]
    key = ["client", "task"]
    sent = rows[kinds == "dispatched"].drop_duplicates(key).set_index(key)
    table = sent[["base_version"]].copy()
    for kind in (*MILESTONES, "queued", "aggregated", "discarded"):
        first = rows[kinds == kind].drop_duplicates(key).set_index(key)
        table[kind] = first["time_us"].astype("Int64").reindex(table.index)
        if kind == "aggregated":
            for column in ("version", "staleness"):
                table[column] = first[column].astype("Int64").reindex(table.index)
    # What is recalled from a queue has a computation of no length; who need not queue has no row.
    turn = table["computed"].where(table["queued"].notna(), table["downloaded"])
    table["started"] = table["started"].fillna(turn)
    transfers = rows[kinds.isin(["downloaded", "arrived"])]
    sums = transfers.groupby(key)["bytes"].sum()
    table["bytes"] = sums.reindex(table.index).fillna(0).astype("int64")
    for column in ("steps", "samples"):
        known = rows[rows[column].notna()].groupby(key)[column].last()
        table[column] = known.astype("Int64").reindex(table.index)
    ends = table[["arrived", "cancelled", "failed"]]
    table["ended"] = ends.min(axis=1).astype("Int64")
    fate = pd.Series("in flight", index=table.index, dtype="object")
    for name in ("arrived", "discarded", "aggregated", "cancelled", "failed"):
        fate[table[name].notna()] = name
    table["fate"] = pd.Categorical(fate, categories=FATES)
    return table.drop(columns=["queued", "discarded"]).reset_index()
