"""What some clients of a run do at each moment, read in little memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from afl_sim.analysis.steady import steps
from afl_sim.analysis.transfers import Occupancy
from afl_sim.recording import Run
from afl_sim.recording.tasks import task_batches
from afl_sim.world.event_kinds import AGGREGATED, DISPATCHED

if TYPE_CHECKING:
    import numpy.typing as npt

    from afl_sim.recording.columns import Column, Columns

    Floats = npt.NDArray[np.float64]

LEGS: Final = ("download", "queueing", "compute", "upload")
MOST_SPANS: Final = 20_000
"""Spans of a run that are kept one by one."""

CELLS: Final = 1500
"""Of more spans, moments of which each shows what a client did most of the time."""

MOST_VERSIONS: Final = 4000
"""Versions that are shown one by one."""

_NEEDED: Final = ("time_us", "kind", "client", "task", "version", "staleness")
_MILESTONES: Final = ("downloaded", "started", "computed", "arrived")
_MICRO: Final = 1e6

Spans = dict[str, list[tuple[float, float]]]


def tasks_of(run: Run, clients: Sequence[int], until_us: int | None = None) -> Iterator[Columns]:
    """The tasks of some clients, part by part; those of one client in order.

    Args:
        clients: whose.
        until_us: leave out those that were dispatched later; the events are read no further than
            until the others have ended. Whether these are aggregated is then not known.
    """
    return task_batches(_events_of(run, np.asarray(clients, dtype=np.int64), until_us))


def _events_of(run: Run, clients: Column, until_us: int | None) -> Iterator[Columns]:
    open_tasks = 0
    for batch in run.event_batches(*_NEEDED):
        mine = np.isin(batch["client"], clients)
        if until_us is not None:
            mine &= (batch["kind"] != DISPATCHED) | (batch["time_us"] <= until_us)
        rows = {name: column[mine] for name, column in batch.items()}
        open_tasks += int(steps(rows["kind"]).sum())
        yield rows
        late = until_us is not None and len(batch["time_us"]) and batch["time_us"][-1] > until_us
        if late and open_tasks <= 0:
            return


def leg_spans(tasks: Columns, until: float) -> dict[str, tuple[Column, Floats, Floats]]:
    """When tasks downloaded, queued, computed and uploaded, as far as it took time.

    Args:
        tasks: columns as `afl_sim.recording.tasks.task_columns` has them.
        until: where legs that are still under way end, in seconds.

    Returns:
        By leg the rows of the tasks, and where their legs begin and end, in virtual seconds. A task
        that downloads a newer model during its computation has two rows of both.
    """
    ended = _seconds(tasks["ended"])
    stop = np.where(np.isnan(ended), until, ended)
    start = _seconds(tasks["dispatched"])
    goes_on = np.ones(len(start), dtype=bool)
    found = {}
    for leg, milestone in zip(LEGS, _MILESTONES, strict=True):
        reached = _seconds(tasks[milestone])
        finish = np.where(np.isnan(reached), stop, np.minimum(reached, stop))
        rows = np.flatnonzero(goes_on & (finish > start))
        found[leg] = rows, start[rows], finish[rows]
        if leg == "compute" and (tasks["requested"] >= 0).any():
            _part(tasks, stop, found)
        goes_on &= ~np.isnan(reached)
        start = finish
    return found


def _part(tasks: Columns, stop: Floats, found: dict[str, tuple[Column, Floats, Floats]]) -> None:
    """Give the download of a newer model, in the middle of a computation, to the downloads."""
    asked = _seconds(tasks["requested"])
    resumed = _seconds(tasks["refreshed"])
    resumed = np.where(np.isnan(resumed), stop, np.minimum(resumed, stop))
    rows, start, finish = found["compute"]
    parted = ~np.isnan(asked[rows])
    later = rows[parted]
    legs = {
        "compute": [
            (rows, start, np.where(parted, asked[rows], finish)),
            (later, resumed[later], finish[parted]),
        ],
        "download": [found["download"], (later, asked[later], resumed[later])],
    }
    for leg, parts in legs.items():
        row, begin, end = (np.concatenate(each) for each in zip(*parts, strict=True))
        took = end > begin
        order = np.argsort(begin[took], kind="stable")
        found[leg] = row[took][order], begin[took][order], end[took][order]


def _seconds(times: Column) -> Floats:
    return np.where(times >= 0, times / _MICRO, np.nan)


class Activity:
    """The legs of some clients' tasks within a window of time.

    Of very many legs it keeps for each of `CELLS` moments what a client did most of the time.

    Args:
        run: whose clients.
        clients: which.
        begin, end: the window, in virtual seconds.

    Attributes:
        condensed: whether a moment may stand for several legs.
    """

    def __init__(self, run: Run, clients: Sequence[int], begin: float, end: float) -> None:
        self._window = begin, end
        self._spans: dict[tuple[int, str], list[tuple[Floats, Floats]]] = {}
        self._lost: dict[int, list[Floats]] = {}
        self._count = 0
        self._cells: dict[tuple[int, str], Occupancy] = {}
        for tasks in tasks_of(run, clients, int(np.ceil(end * _MICRO))):
            for client in np.unique(tasks["client"]).tolist():
                mine = tasks["client"] == client
                self._add(client, {name: column[mine] for name, column in tasks.items()})

    @property
    def condensed(self) -> bool:
        """Whether a moment may stand for several legs."""
        return bool(self._cells)

    def _add(self, client: int, tasks: Columns) -> None:
        begin, end = self._window
        for leg, (_, start, finish) in leg_spans(tasks, end).items():
            inside = (finish > begin) & (start < end)
            self._add_spans((client, leg), start[inside], finish[inside])
        gone = (tasks["cancelled"] >= 0) | (tasks["failed"] >= 0)
        at = _seconds(tasks["ended"][gone])
        self._lost.setdefault(client, []).append(at[(at >= begin) & (at <= end)])

    def _add_spans(self, key: tuple[int, str], start: Floats, finish: Floats) -> None:
        if self.condensed:
            self._cell(key).add(start, finish)
            return
        self._spans.setdefault(key, []).append((start, finish))
        self._count += len(start)
        if self._count > MOST_SPANS:
            kept, self._spans = self._spans, {}
            for name, parts in kept.items():
                for part in parts:
                    self._cell(name).add(*part)

    def _cell(self, key: tuple[int, str]) -> Occupancy:
        if key not in self._cells:
            self._cells[key] = Occupancy(np.linspace(*self._window, CELLS + 1))
        return self._cells[key]

    def spans(self, client: int) -> Spans:
        """When a client downloaded, queued, computed and uploaded: spans in virtual seconds."""
        if not self.condensed:
            return {
                leg: [
                    span
                    for part in self._spans.get((client, leg), ())
                    for span in zip(*(ends.tolist() for ends in part), strict=True)
                ]
                for leg in LEGS
            }
        edges = np.linspace(*self._window, CELLS + 1)
        none = np.zeros(CELLS)
        share = {
            leg: self._cells[client, leg].mean() if (client, leg) in self._cells else none
            for leg in LEGS
        }
        work = np.stack([share[leg] for leg in LEGS if leg != "queueing"])
        # A row for idle time before the others: what is left of each moment.
        table = np.concatenate([[1 - np.minimum(work.sum(axis=0), 1)], work])
        most = table.argmax(axis=0)
        found = {
            leg: _runs(edges, most == row)
            for row, leg in enumerate((leg for leg in LEGS if leg != "queueing"), start=1)
        }
        return {**found, "queueing": _runs(edges, share["queueing"] > 0.5)}

    def lost(self, client: int) -> Floats:
        """When tasks of a client were cancelled or failed (s); of very many, some of them."""
        at = np.concatenate([np.empty(0), *self._lost.get(client, [])])
        return at if len(at) <= CELLS else at[:: len(at) // CELLS + 1]


def _runs(edges: Floats, chosen: npt.NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Where cells that are chosen follow each other: spans."""
    change = np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    return list(zip(edges[begins].tolist(), edges[ends].tolist(), strict=True))


def versions_within(
    run: Run, begin: float, end: float, most: int = MOST_VERSIONS, cells: int = 200
) -> tuple[Floats, Column]:
    """When the server made versions (s), and their numbers, within a window of time.

    Args:
        most: give so many one by one.
        cells: of more give one, the first, for each of so many moments.
    """
    many = False
    times, numbers = np.empty(0), np.empty(0, dtype=np.int64)
    last = -1
    for batch in run.event_batches("time_us", "kind", "version"):
        made = batch["kind"] == AGGREGATED
        version, first = np.unique(batch["version"][made], return_index=True)
        new = version > last
        last = int(version[-1]) if len(version) else last
        at = batch["time_us"][made][first[new]] / _MICRO
        inside = (at >= begin) & (at <= end)
        times = np.concatenate([times, at[inside]])
        numbers = np.concatenate([numbers, version[new][inside]])
        many = many or len(times) > most
        if many and len(times):
            cell = np.floor((times - begin) / (end - begin) * cells)
            kept = np.append(True, cell[1:] > cell[:-1])
            times, numbers = times[kept], numbers[kept]
        if len(batch["time_us"]) and batch["time_us"][-1] > end * _MICRO:
            break
    return times, numbers


def nth_dispatch(run: Run, clients: Sequence[int], count: int) -> int | None:
    """When some clients were sent a task for the ``count``-th time (from 0); None if never."""
    wanted = np.asarray(clients, dtype=np.int64)
    seen = 0
    for batch in run.event_batches("time_us", "kind", "client"):
        sent = (batch["kind"] == DISPATCHED) & np.isin(batch["client"], wanted)
        at = batch["time_us"][sent]
        if seen + len(at) > count:
            return int(at[count - seen])
        seen += len(at)
    return None


def spans_of(tasks: Columns, until: float) -> Mapping[str, list[tuple[float, float]]]:
    """The `leg_spans` of one client's tasks as pairs."""
    return {
        leg: list(zip(start.tolist(), finish.tolist(), strict=True))
        for leg, (_, start, finish) in leg_spans(tasks, until).items()
    }
