"""The metrics of single clients, from lists to rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afl_sim.recording.metrics import BY_CLIENT

if TYPE_CHECKING:
    import pandas as pd

_TIMES = ("time_us", "seconds", "version")


def client_metrics(metrics: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """One row for each evaluation and client.

    Args:
        metrics: as `Run.metrics` gives them; the columns ``client_<metric>`` have lists with a
            number for each client.
        groups: the group of each client (category), by client; empty without groups.

    Returns:
        Columns ``time_us``, ``seconds`` (if ``metrics`` has it), ``version``, ``client``, ``group``
        (category; missing without groups), and one for each metric by its name.
    """
    import numpy as np
    import pandas as pd

    names = [name for name in metrics.columns if name.startswith(BY_CLIENT)]
    times = [name for name in _TIMES if name in metrics]
    whole = metrics[metrics[names].notna().all(axis=1)] if names else metrics[:0]
    clients = len(whole[names[0]].iloc[0]) if len(whole) else 0
    frame = whole[times].loc[whole.index.repeat(clients)].reset_index(drop=True)
    frame["client"] = np.tile(np.arange(clients), len(whole))
    known = groups.reindex(frame["client"]).array if len(groups) else [None] * len(frame)
    frame["group"] = pd.Categorical(known, categories=groups.cat.categories)
    for name in names:
        values = whole[name].to_list()
        flat = np.concatenate(values) if values else np.empty(0)
        frame[name.removeprefix(BY_CLIENT)] = flat.astype(np.float64)
    return frame
