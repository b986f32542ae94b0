"""A run's clients as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from afl_sim.analysis.series import (
    client_count,
    idle_share,
    mean_staleness_by_client,
    speeds,
    update_share,
)
from afl_sim.analysis.tally import tally
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

    found = tally(run).clients
    got = found["tasks"] > 0
    mine = pd.DataFrame(
        {name: found[name][got] for name in ("tasks", "used", "lost")}, index=found.clients[got]
    )
    count = client_count(run)
    index = range(count) if count <= MOST else mine.index
    table = pd.DataFrame(index=pd.Index(index, name="client"))
    if len(run.client_groups):
        table["group"] = run.client_groups.reindex(table.index).astype(str)
    counts = run.label_counts
    if not counts.empty:
        table["samples"] = counts.sum(axis=1).reindex(table.index)
        table["labels"] = (counts > 0).sum(axis=1).reindex(table.index)
    table["compute"] = speeds([run]).reindex(table.index)
    mine = mine.reindex(table.index, fill_value=0)
    table["tasks"], table["aggregated"] = mine["tasks"], mine["used"]
    table["share"] = 100 * update_share(run).reindex(table.index)
    table["staleness"] = mean_staleness_by_client(run).reindex(table.index)
    table["idle"] = 100 * idle_share(run).reindex(table.index)
    table["lost"] = mine["lost"]
    return table


def sampled(table: pd.DataFrame) -> pd.DataFrame:
    """At most `MOST` rows, spread evenly over the order of speed, in order of the clients."""
    if len(table) <= MOST:
        return table
    order = table["compute"].sort_values(kind="stable").index
    places: Sequence[int] = np.linspace(0, len(order) - 1, MOST).round().astype(int).tolist()
    return table.loc[sorted({order[place] for place in places})]
