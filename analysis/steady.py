"""The steady state of a run, in two passes over its events; a short run is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

from afl_sim.analysis.warm_up import BatchMeans
from afl_sim.recording.columns import Columns
from afl_sim.recording.event_table import COLUMNS
from afl_sim.recording.tasks import task_batches
from afl_sim.world.event_kinds import (
    AGGREGATED,
    ARRIVED,
    CANCELLED,
    DISPATCHED,
    FAILED,
    KIND_NAMES,
    QUEUED,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from afl_sim.recording.columns import Column

Read = Callable[[tuple[str, ...]], Iterable[Columns]]
"""Reads some columns of the events from the beginning; see `Run.event_batches`."""

FEW: Final = ("time_us", "kind", "staleness")
_MEASURES: Final = (
    *("warm_up_seconds", "steady_staleness", "steady_utilisation", "steady_throughput"),
)


def steady_state_of(read: Read) -> dict[str, float | None]:
    """Staleness, utilisation and throughput once the warm-up is over.

    The warm-up ends where MSER-5 cuts the staleness of the aggregated updates, in their order
    (`afl_sim.analysis.warm_up`). Utilisation is the mean number of clients at work, over the most
    that were at work at once in the whole run. A task that waits in its client's queue is in
    flight, but not at work. Throughput is aggregated updates per second.

    Returns:
        The figures by column of `afl_sim.analysis.measures.MEASURES`, None where there is none.
    """
    empty: dict[str, float | None] = dict.fromkeys(_MEASURES)
    series, most, working, end = BatchMeans(), 0, 0, 0.0
    some_queued = False
    batches = 0
    for batch in read(FEW):
        batches += 1
        if not len(batch["time_us"]):
            continue
        updates = batch["kind"] == AGGREGATED
        series.add(_staleness(batch, updates), batch["time_us"][updates].astype(np.float64))
        counts = working + np.cumsum(steps(batch["kind"]))
        most, working = max(most, int(counts.max())), int(counts[-1])
        end = float(batch["time_us"][-1])
        some_queued = some_queued or bool((batch["kind"] == QUEUED).any())
    if not series.count:
        return empty
    cut = series.cut()
    begin = series.end_of(cut) if cut else 0.0
    steady = _Steady(begin, end, everything=not cut)
    # Opening the file takes most of the time of a short run, and a study has many of them.
    again = read(FEW) if batches > 1 else [batch]
    for batch in again:
        steady.add(batch)
    length = end - begin
    if not steady.count or length <= 0:
        return {**empty, "steady_staleness": series.total / series.count}
    busy = steady.busy() - (_queueing(read, begin, end) if some_queued else 0.0)
    return {
        "warm_up_seconds": begin / 1e6,
        "steady_staleness": steady.total / steady.count,
        "steady_utilisation": busy / (length * most) if most else None,
        "steady_throughput": 1e6 * steady.count / length,
    }


class _Steady:
    """What happens from the end of the warm-up on."""

    def __init__(self, begin: float, end: float, everything: bool) -> None:
        self.count = 0
        self.total = 0.0
        self._begin, self._end, self._everything = begin, end, everything
        self._busy = 0.0
        self._last, self._working = 0.0, 0

    def add(self, batch: Columns) -> None:
        """Take the next events."""
        times = batch["time_us"].astype(np.float64)
        updates = batch["kind"] == AGGREGATED
        if not self._everything:
            updates &= times > self._begin
        self.count += int(np.count_nonzero(updates))
        self.total += float(_staleness(batch, updates).sum())
        step = steps(batch["kind"])
        moves = step != 0
        working = np.append(self._working, self._working + np.cumsum(step[moves]))
        edges = np.clip(np.append(self._last, times[moves]), self._begin, self._end)
        self._busy += float(np.sum(np.diff(edges) * working[:-1]))
        self._last, self._working = float(edges[-1]), int(working[-1])

    def busy(self) -> float:
        """Microseconds of clients at work."""
        return self._busy + (self._end - max(self._last, self._begin)) * self._working


def steps(kinds: Column) -> npt.NDArray[np.int64]:
    """For each event, by how much it changes the number of tasks in flight."""
    by_code = np.zeros(len(KIND_NAMES) + 1, dtype=np.int64)  # the last one is of unknown kinds
    by_code[DISPATCHED] = 1
    by_code[[ARRIVED, CANCELLED, FAILED]] = -1
    return by_code[kinds]


def _staleness(batch: Columns, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    known = batch["staleness"][rows]
    return np.where(known >= 0, known.astype(np.float64), np.nan)


def _queueing(read: Read, begin: float, end: float) -> float:
    """Microseconds from ``begin`` to ``end`` that tasks waited in their clients' queues, in all."""
    waited = 0.0
    for tasks in task_batches(read(COLUMNS)):
        there = tasks["downloaded"] >= 0
        since = tasks["downloaded"][there].astype(np.float64)
        started, ended = tasks["started"][there], tasks["ended"][there]
        until = np.where(started >= 0, started, np.where(ended >= 0, ended, end))
        waited += float((np.clip(until, begin, end) - np.clip(since, begin, end)).sum())
    return waited
