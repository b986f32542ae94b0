"""Versions from events: one row for each version that the server made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from afl_sim.recording.columns import Columns, contexts_of
from afl_sim.world.event_kinds import AGGREGATED

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def version_columns(columns: Columns, events: pd.DataFrame | pa.Table) -> dict[str, Any]:
    """One row per version, in order.

    Args:
        columns: the integers of ``events``, as `afl_sim.recording.columns.columns_of` gives them.
        events: the same events with their contexts.

    Returns:
        Arrays ``version``; ``began`` and ``time_us``, when its aggregation began (-1: it took no
        time) and ended, in microseconds; ``count``, of the updates in it; ``mean``, their mean
        staleness (NaN where none has any).
    """
    rows = np.flatnonzero(columns["kind"] == AGGREGATED)
    version, first, version_of, count = np.unique(
        columns["version"][rows], return_index=True, return_inverse=True, return_counts=True
    )
    ended = np.empty_like(version)
    ended[version_of] = columns["time_us"][rows]  # the last one stays
    staleness = columns["staleness"][rows]
    known = np.bincount(version_of, weights=staleness >= 0, minlength=len(version))
    sums = np.bincount(version_of, weights=np.maximum(staleness, 0), minlength=len(version))
    # All updates of a version have the same context.
    contexts = contexts_of(events, rows[first])
    noted = (json.loads(text).get("began_us") if text else None for text in contexts)
    began = [-1 if began_us is None else began_us for began_us in noted]
    return {
        "version": version,
        "began": np.array(began, dtype=np.int64),
        "time_us": ended,
        "count": count,
        "mean": np.divide(sums, known, out=np.full(len(version), np.nan), where=known > 0),
    }
