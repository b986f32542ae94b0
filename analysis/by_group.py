"""What the groups of a fleet did in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd

from afl_sim.analysis.series import idle_share, update_share
from afl_sim.analysis.tally import tally
from afl_sim.recording import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

MEASURES: Final = {
    "updates": "share of updates (%)",
    "seconds": "compute per task (s)",
    "staleness": "mean staleness (versions)",
    "idle": "time without a task (%)",
}
"""The measures of a group, with their units."""


def group_table(run: Run) -> pd.DataFrame:
    """One row per group, by name, in the scenario's order.

    Columns: ``clients``, their number; ``share``, their share of all clients (%); ``updates``,
    their share of the aggregated updates (%); ``seconds``, the mean compute time of a finished
    task; ``staleness``, of their aggregated updates (versions); ``idle``, their time without a
    task (%). What a group does not have is missing. Empty without groups.
    """
    groups = run.client_groups
    table = pd.DataFrame(index=pd.Index(groups.cat.categories, name="group"))
    if not len(groups):
        return table.reindex(columns=["clients", "share", *MEASURES])
    table["clients"] = groups.value_counts().reindex(table.index)
    table["share"] = 100 * table["clients"] / len(groups)
    table["updates"] = 100 * _grouped(update_share(run), groups).sum()
    clients = tally(run).clients
    names = ("computed", "compute_us", "updates", "staleness")
    sums = {
        name: _grouped(pd.Series(clients[name], index=clients.clients), groups).sum()
        for name in names
    }
    table["seconds"] = sums["compute_us"] / sums["computed"] / 1e6
    table["staleness"] = sums["staleness"] / sums["updates"]
    table["idle"] = 100 * _grouped(idle_share(run), groups).mean()
    return table


def _grouped(values: pd.Series, groups: pd.Series) -> pd.core.groupby.SeriesGroupBy:
    """Values by client, by the group of the client."""
    of = groups.reindex(values.index).to_numpy()
    return values.groupby(pd.Categorical(of, categories=groups.cat.categories), observed=False)


def names_of_groups(runs: Sequence[Run]) -> list[str]:
    """The groups of all runs, each once, in the order of the scenarios."""
    return list(dict.fromkeys(name for run in runs for name in run.client_groups.cat.categories))
