"""The events of a trace in the Trace Event Format, with what they are sorted by."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from afl_sim.recording.columns import Column, Columns
from afl_sim.recording.tasks import FATES
from afl_sim.world.event_kinds import ARRIVED, CANCELLED, DISPATCHED, FAILED

if TYPE_CHECKING:
    import pandas as pd

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

Entry = tuple[int, int, int, dict[str, Any]]
"""An event after what it is sorted by. Of slices that begin together the outer one comes first: the
longer, then the shallower. Points come after slices."""

Waiting = list[tuple[int, int, int, int, dict[str, Any]]]
"""A heap of such events, those that are equal in the order in which they were made."""


class Lanes:
    """Tracks side by side for what overlaps in time.

    Attributes:
        tracks: the track of each lane of each owner, in the order in which they were needed.
    """

    def __init__(self) -> None:
        self.tracks: dict[tuple[int, int], int] = {}
        self._free_from: dict[int, list[int]] = {}  # by owner: when each lane is free again

    def track(self, owner: int, begin: int, end: int) -> int:
        """The first track of the owner that is free; it is then occupied until ``end``."""
        lanes = self._free_from.setdefault(owner, [])
        lane = next((n for n, free in enumerate(lanes) if free <= begin), len(lanes))
        lanes[lane:] = [end, *lanes[lane + 1 :]]
        return self.tracks.setdefault((owner, lane), len(self.tracks) + 1)


def client_tracks(tasks: Columns, ends: Column, lanes: Lanes) -> list[int]:
    """Each task's track; the tasks of a client come in the order of their dispatch."""
    columns = (tasks["client"].tolist(), tasks["dispatched"].tolist(), ends.tolist())
    return [lanes.track(*task) for task in zip(*columns, strict=True)]


def task_entries(tasks: Columns, ends: Column, track_of: Sequence[int]) -> Iterator[Entry]:
    """The slices of tasks and their legs, in order; those that begin later wait for their time.

    Args:
        tasks: in the order of their dispatch.
        ends: where each of them ends.
        track_of: its track.
    """
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
        if leg == "compute" and task["requested"] >= 0:
            yield from _refreshed(task, begin, leg_end)
        elif leg_end > begin:
            yield leg, begin, leg_end
        if reached < 0:
            return
        begin = leg_end


def _refreshed(task: dict[str, int], begin: int, end: int) -> Iterator[tuple[str, int, int]]:
    """The legs of a computation that stood still while a newer model was downloaded."""
    stopped = task["requested"]
    resumed = end if task["refreshed"] < 0 else task["refreshed"]
    for leg, leg_begin, leg_end in (
        ("compute", begin, stopped),
        ("download", stopped, resumed),
        ("compute", resumed, end),
    ):
        if leg_end > leg_begin:
            yield leg, leg_begin, leg_end


def server_tracks(versions: Mapping[str, Any], lanes: Lanes) -> list[int]:
    """Each version's track; an aggregation that took no time is on the first."""
    return [
        1 if began < 0 else lanes.track(0, began, ended)
        for began, ended in zip(
            versions["began"].tolist(), versions["time_us"].tolist(), strict=True
        )
    ]


def aggregation_entries(versions: Mapping[str, Any], made_on: Sequence[int]) -> Iterator[Entry]:
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


def in_flight(columns: Columns, before: int) -> Iterator[dict[str, Any]]:
    """A counter of the tasks in flight, wherever their number changes.

    Args:
        columns: the events.
        before: how many tasks were in flight before them.
    """
    kind, time_us = columns["kind"], columns["time_us"]
    count = before + np.cumsum(flight_steps(kind))
    last = np.append(time_us[1:] != time_us[:-1], True)[: len(time_us)]  # the last at a time
    changed = np.append(True, np.diff(count[last]) != 0)[: np.count_nonzero(last)]
    for at, tasks in zip(time_us[last][changed], count[last][changed], strict=True):
        yield _counter("in flight", int(at), tasks=int(tasks))


def flight_steps(kind: Column) -> Column:
    """For each event, by how much it changes the number of tasks in flight."""
    begins, ends = kind == DISPATCHED, np.isin(kind, (ARRIVED, CANCELLED, FAILED))
    step: Column = begins.astype(np.int64) - ends
    return step


def measurements(
    metrics: Mapping[str, Sequence[Any]] | pd.DataFrame, name: str, end_us: int
) -> Iterator[dict[str, Any]]:
    """A counter of a metric, up to ``end_us``."""
    if name not in metrics:
        return
    for time_us, value in zip(metrics["time_us"], metrics[name], strict=True):
        if value is not None and value == value and time_us <= end_us:
            yield _counter(name, int(time_us), **{name: float(value)})


def points(events: Iterable[dict[str, Any]]) -> Iterator[Entry]:
    """Events that have no length, with what they are sorted by."""
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


def metadata(pid: int, tid: int, kind: str, **args: Any) -> dict[str, Any]:
    """The name, or the place among others, of a process or a track."""
    return {"name": kind, "ph": "M", "ts": 0, "pid": pid, "tid": tid, "args": args}
