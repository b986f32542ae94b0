"""A run's clients as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from afl_sim.analysis.series import client_count, idle_share, speeds, staleness_rows, update_share
from afl_sim.recording import Run

if TYPE_CHECKING:
    import pandas as pd

MOST: Final = 1000
COLUMNS: Final = {
    "group": ("group", "{}"),
    "samples": ("samples", "{:,.0f}"),
    "labels": ("labels held", "{:.0f}"),
    "compute": ("compute per task (s)", "{:.4g}"),
    "tasks": ("tasks", "{:.0f}"),
    "aggregated": ("aggregated", "{:.0f}"),
    "share": ("share of updates (%)", "{:.2f}"),
    "staleness": ("mean staleness (versions)", "{:.2f}"),
    "idle": ("idle (%)", "{:.1f}"),
    "lost": ("failed or cancelled", "{:.0f}"),
}
"""Heading and form of each column."""


def client_table(run: Run) -> pd.DataFrame:
    """One row per client that got a task, or of a small fleet for every client.

    Columns: those of `COLUMNS`; shares and idle time in percent, compute time in seconds. What a
    client does not have, such as the staleness of updates that it never sent, is missing.
    """
    import pandas as pd

    tasks = run.tasks
    client = tasks["client"].astype("int64")
    count = client_count(run)
    index = range(count) if count <= MOST else sorted(client.unique())
    table = pd.DataFrame(index=pd.Index(index, name="client"))
    if len(run.client_groups):
        table["group"] = run.client_groups.reindex(table.index).astype(str)
    counts = run.label_counts
    if not counts.empty:
        table["samples"] = counts.sum(axis=1).reindex(table.index)
        table["labels"] = (counts > 0).sum(axis=1).reindex(table.index)
    table["compute"] = speeds([run]).reindex(table.index)
    table["tasks"] = client.value_counts().reindex(table.index, fill_value=0)
    used = client[tasks["aggregated"].notna()]
    table["aggregated"] = used.value_counts().reindex(table.index, fill_value=0)
    table["share"] = 100 * update_share(run).reindex(table.index)
    rows = staleness_rows(run)
    table["staleness"] = rows.groupby("client")["staleness"].mean().reindex(table.index)
    table["idle"] = 100 * idle_share(run).reindex(table.index)
    lost = client[tasks["failed"].notna() | tasks["cancelled"].notna()]
    table["lost"] = lost.value_counts().reindex(table.index, fill_value=0)
    return table


def sampled(table: pd.DataFrame) -> pd.DataFrame:
    """At most `MOST` rows, spread evenly over the order of speed, in order of the clients."""
    if len(table) <= MOST:
        return table
    order = table["compute"].sort_values(kind="stable").index
    places: Sequence[int] = np.linspace(0, len(order) - 1, MOST).round().astype(int).tolist()
    return table.loc[sorted({order[place] for place in places})]
