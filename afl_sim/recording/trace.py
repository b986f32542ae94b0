"""A run as Chrome trace events, to be opened in Perfetto or chrome://tracing.

One microsecond of the trace is one microsecond of virtual time. Clients have a track each, with a
slice per task and slices inside it for its legs; the server has its aggregations, slices where
they take time, and counters.

Format: Google's "Trace Event Format": complete (X), instant (i), counter (C), metadata (M) events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from afl_sim.recording.files import replacing
from afl_sim.recording.tasks import task_table

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

Slices = list[tuple[int, int, int, dict[str, Any]]]


def write_trace(
    events: pd.DataFrame | pa.Table,
    path: Path,
    limit: int = 200_000,
    *,
    metrics: pd.DataFrame | None = None,
    name: str = "run",
    total: int | None = None,
) -> None:
    """Write ``trace.json``.

    Args:
        events: as `Run.events` gives them, or an event log's table.
        path: the file to write; it appears whole.
        limit: draw no more than this many events, the first ones; the trace says so.
        metrics: evaluations, for a counter of accuracy.
        name: what the trace calls the run.
        total: how many events the run has, where ``events`` are only its first.

    Raises:
        AflSimError: the file cannot be written; nothing is left behind.
    """
    import pandas as pd

    total = len(events) if total is None else total
    events = events[:limit] if isinstance(events, pd.DataFrame) else _frame(events.slice(0, limit))
    about = {
        "run": name,
        "clock": "virtual time",
        "events": total,
        "events_drawn": len(events),
    }
    encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
    with replacing(path) as handle:
        head = json.dumps(about)
        handle.write(b'{"displayTimeUnit":"ms","otherData":' + head.encode())
        handle.write(b',"traceEvents":[\n')
        for index, event in enumerate(trace_events(events, metrics)):
            handle.write((",\n" if index else "").encode() + encode(event).encode())
        handle.write(b"\n]}\n")


def trace_events(
    events: pd.DataFrame, metrics: pd.DataFrame | None = None
) -> Iterator[dict[str, Any]]:
    """The trace's events: metadata first, then all others in order of time.

    Slices of one track lie inside each other or apart. Tasks of one client that overlap in time
    (an upload under way while the next task computes) get a second track.
    """
    end_us = int(events["time_us"].iloc[-1]) if len(events) else 0
    slices, tracks = _client_slices(events, end_us)
    versions = _aggregations(events)
    yield _metadata(SERVER_PID, 0, "process_name", name="server")
    yield _metadata(SERVER_PID, 0, "process_sort_index", sort_index=0)
    for track in sorted({1, *(event["tid"] for *_, event in versions if "tid" in event)}):
        title = "aggregation" if track == 1 else f"aggregation ({track})"
        yield _metadata(SERVER_PID, track, "thread_name", name=title)
    yield _metadata(CLIENTS_PID, 0, "process_name", name="clients")
    yield _metadata(CLIENTS_PID, 0, "process_sort_index", sort_index=1)
    for order, (client, lane) in enumerate(sorted(tracks)):
        track = tracks[client, lane]
        title = f"client {client}" if lane == 0 else f"client {client} ({lane + 1})"
        yield _metadata(CLIENTS_PID, track, "thread_name", name=title)
        yield _metadata(CLIENTS_PID, track, "thread_sort_index", sort_index=order)
    timed = slices
    timed += versions
    timed += _points(_in_flight(events))
    if metrics is not None:
        timed += _points(_accuracy(metrics, end_us))
    # Of slices that begin together the outer one comes first: the longer, then the shallower.
    timed.sort(key=lambda entry: entry[:3])
    for _, _, _, event in timed:
        yield event


def _client_slices(events: pd.DataFrame, end_us: int) -> tuple[Slices, dict[tuple[int, int], int]]:
    table = task_table(events)
    columns = {name: _plain_list(table[name]) for name in table.columns}
    tracks: dict[tuple[int, int], int] = {}
    free_from: dict[int, list[int]] = {}  # by client: when each of its tracks is free again
    slices: Slices = []
    for index in range(len(table)):
        row = {name: values[index] for name, values in columns.items()}
        begin = row["dispatched"]
        end = row["ended"] if row["ended"] is not None else max(end_us, begin)
        lanes = free_from.setdefault(row["client"], [])
        lane = _free_lane(lanes, begin, end)
        track = tracks.setdefault((row["client"], lane), len(tracks) + 1)
        fate = row["fate"]
        title = f"task {row['task']}"
        if fate in {"cancelled", "failed", "in flight", "discarded"}:
            title += f" ({fate})"
        slices.append(_slice(track, title, "task", begin, end, depth=0, args=_task_args(row)))
        for leg, leg_begin, leg_end in _legs(row, begin, end):
            slices.append(_slice(track, leg, "leg", leg_begin, leg_end, depth=1))
    return slices, tracks


def _legs(row: dict[str, Any], begin: int, end: int) -> Iterator[tuple[str, int, int]]:
    """The legs of a task that took time; the one under way ends with the task."""
    for leg, milestone in LEGS:
        reached = row[milestone]
        leg_end = end if reached is None else min(reached, end)
        if leg_end > begin:
            yield leg, begin, leg_end
        if reached is None:
            return
        begin = leg_end


def _task_args(row: dict[str, Any]) -> dict[str, Any]:
    names = ("base_version", "version", "staleness", "steps", "samples", "bytes")
    args = {name: row[name] for name in names if row[name] is not None}
    return {"outcome": row["fate"], **args}


def _aggregations(events: pd.DataFrame) -> Slices:
    """A slice for each version that took time to make, an instant for each other one."""
    rows = events[(events["kind"] == "aggregated").to_numpy()]
    grouped = rows.groupby("version")
    columns = (
        grouped["time_us"].last().tolist(),
        grouped.size().tolist(),
        _plain_list(grouped["staleness"].mean()),
        _plain_list(grouped["context"].first()),
    )
    entries: Slices = []
    lanes: list[int] = []  # when each of the server's tracks is free again
    for version, time_us, count, mean, context in zip(grouped.groups, *columns, strict=True):
        args: dict[str, Any] = {"updates": count}
        if mean is not None:
            args["mean_staleness"] = round(mean, 6)
            entries += _points([_counter("staleness", time_us, mean=args["mean_staleness"])])
        event = {"name": f"version {version}", "cat": "aggregation", "ts": time_us, "tid": 1}
        began_us = json.loads(context).get("began_us") if context else None
        if began_us is None:
            entries += _points([{**event, "ph": "i", "s": "p", "pid": SERVER_PID, "args": args}])
            continue
        lane = _free_lane(lanes, began_us, time_us)
        event |= {"ph": "X", "ts": began_us, "dur": time_us - began_us, "tid": 1 + lane}
        entries.append(
            (began_us, began_us - time_us, 0, {**event, "pid": SERVER_PID, "args": args})
        )
    return entries


def _free_lane(lanes: list[int], begin: int, end: int) -> int:
    """The first track that is free at ``begin``; it is taken until ``end``."""
    lane = next((n for n, free in enumerate(lanes) if free <= begin), len(lanes))
    lanes[lane:] = [end, *lanes[lane + 1 :]]
    return lane


def _in_flight(events: pd.DataFrame) -> Iterator[dict[str, Any]]:
    change = (
        events["kind"]
        .astype(str)
        .map({"dispatched": 1, "arrived": -1, "cancelled": -1, "failed": -1})
    )
    count = change.fillna(0).astype("int64").cumsum().to_numpy()
    last = dict(zip(events["time_us"].tolist(), count.tolist(), strict=True))  # the last at a time
    before = None
    for time_us, tasks in last.items():
        if tasks != before:
            yield _counter("in flight", time_us, tasks=tasks)
            before = tasks


def _accuracy(metrics: pd.DataFrame, end_us: int) -> Iterator[dict[str, Any]]:
    for time_us, accuracy in zip(metrics["time_us"], metrics["accuracy"], strict=True):
        if accuracy == accuracy and time_us <= end_us:
            yield _counter("accuracy", int(time_us), accuracy=float(accuracy))


def _points(events: Iterable[dict[str, Any]]) -> Slices:
    return [(event["ts"], 0, 2, event) for event in events]


def _slice(
    track: int,
    name: str,
    category: str,
    begin: int,
    end: int,
    depth: int,
    args: dict[str, Any] | None = None,
) -> tuple[int, int, int, dict[str, Any]]:
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


def _plain_list(column: pd.Series) -> list[Any]:
    """A column as Python values, None where absent."""
    return column.astype("object").where(column.notna(), None).tolist()


def _frame(table: pa.Table) -> pd.DataFrame:
    from afl_sim.recording.events import to_frame

    return to_frame(table)
