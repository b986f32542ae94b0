"""A run as Chrome trace events, to be opened in Perfetto or chrome://tracing.

One microsecond of the trace is one microsecond of virtual time. Clients have a track each, with a
slice per task and slices inside it for its legs; the server has its aggregations, slices where
they take time, and counters.

The trace's events are made one by one as they are written, out of NumPy columns: a list of them all
would take ten times the memory of what they are made of.

Format: Google's "Trace Event Format": complete (X), instant (i), counter (C), metadata (M) events.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from afl_sim.recording.columns import Column, Columns, columns_of
from afl_sim.recording.files import replacing
from afl_sim.recording.tasks import FATES, task_columns
from afl_sim.recording.versions import version_columns
from afl_sim.world.event_kinds import ARRIVED, CANCELLED, DISPATCHED, FAILED

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SERVER_PID: Final = 1
CLIENTS_PID: Final = 2

# The leg that a milestone ends, in the order in which a task goes through them.
LEGS: Final = (
    ("download", "downloaded"),
    ("queueing", "started"),
    ("compute", "computed"),
    ("upload", "arrived"),
)
_ARGUMENTS: Final = ("base_version", "version", "staleness", "steps", "samples", "bytes")
_UNUSED: Final = ("cancelled", "failed", "in flight", "discarded")

_END: Final = b"\n]}\n"

Entry = tuple[int, int, int, dict[str, Any]]
"""An event after what it is sorted by. Of slices that begin together the outer one comes first: the
longer, then the shallower. Points come after slices."""

Waiting = list[tuple[int, int, int, int, dict[str, Any]]]
"""A heap of such events, those that are equal in the order in which they were made."""


def write_trace(
    events: pd.DataFrame | pa.Table,
    path: Path,
    limit: int = 200_000,
    *,
    metrics: Mapping[str, Sequence[Any]] | pd.DataFrame | None = None,
    name: str = "run",
    total: int | None = None,
    measured: str = "accuracy",
) -> None:
    """Write ``trace.json``.

    Args:
        events: as `Run.events` gives them, or an event log's table.
        path: the file to write; it appears whole.
        limit: draw no more than this many events, the first ones; the trace says so.
        metrics: evaluations, with columns ``time_us`` and ``measured``, for a counter of that.
        measured: the metric of the counter.
        name: what the trace calls the run.
        total: how many events the run has, where ``events`` are only its first.

    Raises:
        AflSimError: the file cannot be written; nothing is left behind.
    """
    total = len(events) if total is None else total
    drawn = min(limit, len(events))
    about = {
        "run": name,
        "clock": "virtual time",
        "events": total,
        "events_drawn": drawn,
    }
    encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
    with replacing(path) as handle:
        head = json.dumps(about)
        handle.write(b'{"displayTimeUnit":"ms","otherData":' + head.encode())
        handle.write(b',"traceEvents":[\n')
        for index, event in enumerate(_trace_events(events[:drawn], metrics, measured)):
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


def _trace_events(
    events: pd.DataFrame | pa.Table,
    metrics: Mapping[str, Sequence[Any]] | pd.DataFrame | None,
    measured: str,
) -> Iterator[dict[str, Any]]:
    """The trace's events: metadata first, then all others in order of time.

    Slices of one track lie inside each other or apart. Tasks of one client that overlap in time
    (an upload under way while the next task computes) get a second track.
    """
    columns = columns_of(events)
    end_us = int(columns["time_us"][-1]) if len(columns["time_us"]) else 0
    tasks = task_columns(columns)
    ends = np.where(tasks["ended"] >= 0, tasks["ended"], np.maximum(end_us, tasks["dispatched"]))
    track_of, tracks = _client_tracks(tasks, ends)
    versions = version_columns(columns, events)
    made_on = _server_tracks(versions)
    yield _metadata(SERVER_PID, 0, "process_name", name="server")
    yield _metadata(SERVER_PID, 0, "process_sort_index", sort_index=0)
    for track in sorted({1, *made_on}):
        title = "aggregation" if track == 1 else f"aggregation ({track})"
        yield _metadata(SERVER_PID, track, "thread_name", name=title)
    yield _metadata(CLIENTS_PID, 0, "process_name", name="clients")
    yield _metadata(CLIENTS_PID, 0, "process_sort_index", sort_index=1)
    for order, (client, lane) in enumerate(sorted(tracks)):
        track = tracks[client, lane]
        title = f"client {client}" if lane == 0 else f"client {client} ({lane + 1})"
        yield _metadata(CLIENTS_PID, track, "thread_name", name=title)
        yield _metadata(CLIENTS_PID, track, "thread_sort_index", sort_index=order)
    timed = [
        _tasks(tasks, ends, track_of),
        _aggregations(versions, made_on),
        _points(_in_flight(columns)),
    ]
    if metrics is not None:
        timed.append(_points(_metric(metrics, measured, end_us)))
    for entry in heapq.merge(*timed, key=lambda entry: entry[:3]):
        yield entry[3]


# -- clients -------------------------------------------------------------------------------------


def _client_tracks(tasks: Columns, ends: Column) -> tuple[list[int], dict[tuple[int, int], int]]:
    """Each task's track, and the track of each client's lane."""
    tracks: dict[tuple[int, int], int] = {}
    free_from: dict[int, list[int]] = {}  # by client: when each of its lanes is free again
    track_of = []
    for client, begin, end in zip(
        tasks["client"].tolist(), tasks["dispatched"].tolist(), ends.tolist(), strict=True
    ):
        lane = _free_lane(free_from.setdefault(client, []), begin, end)
        track_of.append(tracks.setdefault((client, lane), len(tracks) + 1))
    return track_of, tracks


def _tasks(tasks: Columns, ends: Column, track_of: Sequence[int]) -> Iterator[Entry]:
    """The slices of tasks and their legs, in order; those that begin later wait for their time."""
    waiting: Waiting = []
    made = 0
    for index, track in enumerate(track_of):
        task = {name: int(column[index]) for name, column in tasks.items()}
        while waiting and waiting[0][0] < task["dispatched"]:
            yield _next(waiting)
        for begin, minus, depth, event in _task(task, int(ends[index]), track):
            heapq.heappush(waiting, (begin, minus, depth, made, event))
            made += 1
    while waiting:
        yield _next(waiting)


def _next(waiting: Waiting) -> Entry:
    begin, minus, depth, _, event = heapq.heappop(waiting)
    return begin, minus, depth, event


def _task(task: dict[str, int], end: int, track: int) -> Iterator[Entry]:
    fate = FATES[task["fate"]]
    title = f"task {task['task']}" + (f" ({fate})" if fate in _UNUSED else "")
    known = {name: task[name] for name in _ARGUMENTS if task[name] >= 0}
    begin = task["dispatched"]
    yield _slice(track, title, "task", begin, end, depth=0, args={"outcome": fate, **known})
    for leg, leg_begin, leg_end in _legs(task, begin, end):
        yield _slice(track, leg, "leg", leg_begin, leg_end, depth=1)


def _legs(task: dict[str, int], begin: int, end: int) -> Iterator[tuple[str, int, int]]:
    """The legs of a task that took time. An unfinished leg ends with the task."""
    for leg, milestone in LEGS:
        reached = task[milestone]
        leg_end = end if reached < 0 else min(reached, end)
        if leg_end > begin:
            yield leg, begin, leg_end
        if reached < 0:
            return
        begin = leg_end


# -- the server ----------------------------------------------------------------------------------


def _server_tracks(versions: Mapping[str, Any]) -> list[int]:
    """Each version's track; an aggregation that took no time is on the first."""
    lanes: list[int] = []  # when each of the server's tracks is free again
    return [
        1 if began < 0 else 1 + _free_lane(lanes, began, ended)
        for began, ended in zip(
            versions["began"].tolist(), versions["time_us"].tolist(), strict=True
        )
    ]


def _aggregations(versions: Mapping[str, Any], made_on: Sequence[int]) -> Iterator[Entry]:
    """A slice for each version that took time to make, an instant for each other one."""
    began, ended = versions["began"], versions["time_us"]
    took = began >= 0
    # Two events for each version: its staleness, and its aggregation.
    begin = np.stack([ended, np.where(took, began, ended)], axis=1).ravel()
    minus = np.stack([np.zeros_like(ended), np.where(took, began - ended, 0)], axis=1).ravel()
    depth = np.stack([np.full_like(ended, 2), np.where(took, 0, 2)], axis=1).ravel()
    for place in np.lexsort((depth, minus, begin)).tolist():  # stable
        index, is_aggregation = divmod(place, 2)
        mean = float(versions["mean"][index])
        key = int(begin[place]), int(minus[place]), int(depth[place])
        if is_aggregation:
            yield (*key, _aggregation(versions, index, made_on[index]))
        elif mean == mean:
            yield (*key, _counter("staleness", key[0], mean=round(mean, 6)))


def _aggregation(versions: Mapping[str, Any], index: int, track: int) -> dict[str, Any]:
    args: dict[str, Any] = {"updates": int(versions["count"][index])}
    mean = float(versions["mean"][index])
    if mean == mean:
        args["mean_staleness"] = round(mean, 6)
    began, ended = int(versions["began"][index]), int(versions["time_us"][index])
    title = f"version {versions['version'][index]}"
    if began < 0:
        kind = {"ts": ended, "tid": track, "ph": "i", "s": "p"}
    else:
        kind = {"ts": began, "tid": track, "ph": "X", "dur": ended - began}
    return {"name": title, "cat": "aggregation", **kind, "pid": SERVER_PID, "args": args}


def _free_lane(lanes: list[int], begin: int, end: int) -> int:
    """The first track that is free at ``begin``; it is then occupied until ``end``."""
    lane = next((n for n, free in enumerate(lanes) if free <= begin), len(lanes))
    lanes[lane:] = [end, *lanes[lane + 1 :]]
    return lane


def _in_flight(columns: Columns) -> Iterator[dict[str, Any]]:
    kind, time_us = columns["kind"], columns["time_us"]
    change = (kind == DISPATCHED).astype(np.int64) - np.isin(kind, (ARRIVED, CANCELLED, FAILED))
    count = np.cumsum(change)
    last = np.append(time_us[1:] != time_us[:-1], True)[: len(time_us)]  # the last at a time
    changed = np.append(True, np.diff(count[last]) != 0)[: np.count_nonzero(last)]
    for at, tasks in zip(time_us[last][changed], count[last][changed], strict=True):
        yield _counter("in flight", int(at), tasks=int(tasks))


def _metric(
    metrics: Mapping[str, Sequence[Any]] | pd.DataFrame, name: str, end_us: int
) -> Iterator[dict[str, Any]]:
    if name not in metrics:
        return
    for time_us, value in zip(metrics["time_us"], metrics[name], strict=True):
        if value is not None and value == value and time_us <= end_us:
            yield _counter(name, int(time_us), **{name: float(value)})


# -- events --------------------------------------------------------------------------------------


def _points(events: Iterable[dict[str, Any]]) -> Iterator[Entry]:
    return ((event["ts"], 0, 2, event) for event in events)


def _slice(
    track: int,
    name: str,
    category: str,
    begin: int,
    end: int,
    depth: int,
    args: dict[str, Any] | None = None,
) -> Entry:
    event: dict[str, Any] = {
        "name": name,
        "cat": category,
        "ph": "X",
        "ts": begin,
        "dur": end - begin,
        "pid": CLIENTS_PID,
        "tid": track,
    }
    if args:
        event["args"] = args
    return begin, begin - end, depth, event


def _counter(name: str, time_us: int, **values: float) -> dict[str, Any]:
    return {"name": name, "ph": "C", "ts": time_us, "pid": SERVER_PID, "args": values}


def _metadata(pid: int, tid: int, kind: str, **args: Any) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "ts": 0, "pid": pid, "tid": tid, "args": args}
