"""A run as Chrome trace events, to be opened in Perfetto or chrome://tracing.

One microsecond of the trace is one microsecond of virtual time. Clients have a track each, with a
slice per task and slices inside it for its legs; the server has its aggregations, slices where
they take time, and counters.

Events may come in parts. A trace of one part is in order of time. A trace of several parts is so
within each part and on each track, which is enough for its readers, and takes the memory of a part.

Format: Google's "Trace Event Format": complete (X), instant (i), counter (C), metadata (M) events.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from afl_sim.recording.columns import Columns, columns_of
from afl_sim.recording.files import replacing
from afl_sim.recording.tasks import task_batches, task_columns
from afl_sim.recording.trace_entries import (
    CLIENTS_PID,
    SERVER_PID,
    Entry,
    Lanes,
    aggregation_entries,
    client_tracks,
    flight_steps,
    in_flight,
    measurements,
    metadata,
    points,
    server_tracks,
    task_entries,
)
from afl_sim.recording.versions import version_columns
from afl_sim.world.event_kinds import AGGREGATED

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_END: Final = b"\n]}\n"


def write_trace(
    events: pd.DataFrame | pa.Table | Iterable[pa.Table],
    path: Path,
    limit: int = 200_000,
    *,
    metrics: Mapping[str, Sequence[Any]] | pd.DataFrame | None = None,
    name: str = "run",
    total: int | None = None,
    measured: str = "accuracy",
    begin_us: int = 0,
    drawn: int | None = None,
) -> None:
    """Write ``trace.json``.

    Args:
        events: as `Run.events` gives them, or an event log's table; or such tables part by part,
            from the first event to the last one that is drawn.
        path: the file to write; it appears whole.
        limit: draw no more than this many events of one table, the first ones; the trace says so.
        metrics: evaluations, with columns ``time_us`` and ``measured``, for a counter of that.
        measured: the metric of the counter.
        name: what the trace calls the run.
        total: how many events the run has, where ``events`` are only its first.
        begin_us: leave out what was over before (microseconds of virtual time).
        drawn: how many events are drawn; default: of one table all within the limit.

    Raises:
        AflSimError: the file cannot be written; nothing is left behind.
    """
    parts: Any = events
    if hasattr(events, "columns"):  # one table
        total = len(parts) if total is None else total
        drawn = min(limit, len(parts)) if drawn is None else drawn
        parts = [parts[:limit]]
    about = {"run": name, "clock": "virtual time", "events": total, "events_drawn": drawn}
    if begin_us:
        about["begin_us"] = begin_us
    encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
    with replacing(path) as handle:
        head = json.dumps(about)
        handle.write(b'{"displayTimeUnit":"ms","otherData":' + head.encode())
        handle.write(b',"traceEvents":[\n')
        for index, event in enumerate(_Trace(begin_us).events(parts, metrics, measured)):
            handle.write((",\n" if index else "").encode() + encode(event).encode())
        handle.write(_END)


def trace_is_closed(path: Path) -> bool:
    """Whether a trace is complete to its last bracket; the file is not read as a whole."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_END), 2)
            return file.read() == _END
    except OSError:
        return False


class _Trace:
    """What a trace knows from one part of the events to the next.

    Slices of one track lie inside each other or apart. Tasks of one client that overlap in time
    (an upload under way while the next task computes) get a second track.
    """

    def __init__(self, begin_us: int) -> None:
        self._begin_us = begin_us
        self._end_us = 0
        self._clients, self._server = Lanes(), Lanes()
        self._in_flight = 0
        self._of_part: list[Iterator[Entry]] = []  # of the part that was read last, but its tasks
        self._updates: pa.Table | None = None  # of a version of which others may be to come

    def events(
        self,
        parts: Iterable[Any],
        metrics: Mapping[str, Sequence[Any]] | pd.DataFrame | None,
        measured: str,
    ) -> Iterator[dict[str, Any]]:
        """The trace's events. Metadata come first if there is one part, and else last."""
        coming = iter(parts)
        first = [part for part in (next(coming, None), next(coming, None)) if part is not None]
        if len(first) > 1:
            for tasks in task_batches(self._read(chain(first, coming))):
                yield from _in_order([self._tasks(tasks), *self._of_part])
                self._of_part = []
            assert self._updates is not None
            yield from _in_order([self._versions(self._updates), *self._counter(metrics, measured)])
            yield from self._metadata()
            return
        entries: list[Iterator[Entry]] = []
        for part in first:
            columns = columns_of(part)
            self._end_us = _last(columns)
            entries = [self._tasks(task_columns(columns)), self._versions(part, columns)]
            entries.append(self._counts(columns))
        yield from self._metadata()
        yield from _in_order([*entries, *self._counter(metrics, measured)])

    def _read(self, parts: Iterable[pa.Table]) -> Iterator[Columns]:
        for part in parts:
            columns = columns_of(part)
            self._end_us = _last(columns) or self._end_us
            self._of_part = [self._versions(self._whole_versions(part)), self._counts(columns)]
            yield columns

    def _whole_versions(self, part: pa.Table) -> pa.Table:
        """The updates of versions that have all of theirs now; those of the last one wait."""
        import pyarrow as pa

        rows = np.flatnonzero(columns_of(part, ("kind",))["kind"] == AGGREGATED)
        waiting = [] if self._updates is None else [self._updates]
        updates = pa.concat_tables([*waiting, part.take(rows)])
        version = columns_of(updates, ("version",))["version"]
        known = int(np.searchsorted(version, version[-1])) if len(version) else 0
        self._updates = updates.slice(known)
        return updates.slice(0, known)

    def _tasks(self, tasks: Columns) -> Iterator[Entry]:
        shown = (tasks["ended"] < 0) | (tasks["ended"] >= self._begin_us)
        tasks = {name: column[shown] for name, column in tasks.items()}
        # What is under way at the end has its end there.
        last = np.maximum(self._end_us, tasks["dispatched"])
        ends = np.where(tasks["ended"] >= 0, tasks["ended"], last)
        return task_entries(tasks, ends, client_tracks(tasks, ends, self._clients))

    def _versions(
        self, events: pd.DataFrame | pa.Table, columns: Columns | None = None
    ) -> Iterator[Entry]:
        versions = version_columns(columns_of(events) if columns is None else columns, events)
        shown = versions["time_us"] >= self._begin_us
        versions = {name: column[shown] for name, column in versions.items()}
        return aggregation_entries(versions, server_tracks(versions, self._server))

    def _counts(self, columns: Columns) -> Iterator[Entry]:
        """The counter of tasks in flight; it begins with the window, if there is one."""
        before = self._in_flight
        self._in_flight += int(flight_steps(columns["kind"]).sum())
        late = columns["time_us"] >= self._begin_us
        if late.all():
            return points(in_flight(columns, before))
        before += int(flight_steps(columns["kind"][~late]).sum())
        inside = {name: column[late] for name, column in columns.items()}
        return points(in_flight(inside, before))

    def _counter(
        self, metrics: Mapping[str, Sequence[Any]] | pd.DataFrame | None, measured: str
    ) -> list[Iterator[Entry]]:
        if metrics is None:
            return []
        found = measurements(metrics, measured, self._end_us)
        return [points(event for event in found if event["ts"] >= self._begin_us)]

    def _metadata(self) -> Iterator[dict[str, Any]]:
        yield metadata(SERVER_PID, 0, "process_name", name="server")
        yield metadata(SERVER_PID, 0, "process_sort_index", sort_index=0)
        for track in sorted({1, *self._server.tracks.values()}):
            title = "aggregation" if track == 1 else f"aggregation ({track})"
            yield metadata(SERVER_PID, track, "thread_name", name=title)
        yield metadata(CLIENTS_PID, 0, "process_name", name="clients")
        yield metadata(CLIENTS_PID, 0, "process_sort_index", sort_index=1)
        tracks = self._clients.tracks
        for order, (client, lane) in enumerate(sorted(tracks)):
            track = tracks[client, lane]
            title = f"client {client}" if lane == 0 else f"client {client} ({lane + 1})"
            yield metadata(CLIENTS_PID, track, "thread_name", name=title)
            yield metadata(CLIENTS_PID, track, "thread_sort_index", sort_index=order)


def _last(columns: Columns) -> int:
    return int(columns["time_us"][-1]) if len(columns["time_us"]) else 0


def _in_order(entries: Iterable[Iterator[Entry]]) -> Iterator[dict[str, Any]]:
    for entry in heapq.merge(*entries, key=lambda entry: entry[:3]):
        yield entry[3]
