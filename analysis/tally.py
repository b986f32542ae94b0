"""What figures and tables need of a run's events, in one pass over them and in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from afl_sim.analysis.by_client import BusyTime, ByClient
from afl_sim.analysis.distribution import Distribution
from afl_sim.analysis.rounds import Rounds
from afl_sim.analysis.steady import steps
from afl_sim.analysis.warm_up import BatchMeans
from afl_sim.recording import Run
from afl_sim.recording.tasks import task_batches
from afl_sim.world.event_kinds import AGGREGATED, QUEUED

if TYPE_CHECKING:
    from afl_sim.recording.columns import Column, Columns

LEGS: Final = ("download", "queueing", "compute", "upload", "buffer")
_NEEDED: Final = ("time_us", "kind", "client", "task", "version", "staleness")
_TALLY: Final = "_tally"


class Tally:
    """Sums and distributions of a run's events and tasks. Its size does not depend on the run's
    length.

    Attributes:
        end_us: when the last event was (microseconds).
        last_update_us: when the last update was aggregated.
        has_queues: whether a task had to wait behind another of its client.
        clients: by client that had an event: ``tasks`` that it was sent; ``used``, of which the
            update was aggregated; ``lost``, cancelled or failed; ``computed``, and ``compute_us``
            that these took in all; ``updates`` that were aggregated, each time counted, and the sum
            ``staleness`` of these.
        busy: how long each client had a task.
        legs: microseconds that arrived tasks spent in each of `LEGS`. A leg that is absent took
            none; ``buffer`` is the wait at the server, of those that were aggregated.
        spans: microseconds from the dispatch of a task to its end.
        staleness: of the aggregated updates.
        series: the same in their order.
        rounds: the synchronous rounds.
    """

    def __init__(self, run: Run) -> None:
        self.end_us = 0
        self.last_update_us = 0
        self.has_queues = False
        self.clients = ByClient(
            *("tasks", "used", "lost", "computed", "compute_us", "updates", "staleness")
        )
        self.busy = BusyTime()
        self.legs = {leg: Distribution() for leg in LEGS}
        self.spans = Distribution()
        self.staleness = Distribution()
        self.series = BatchMeans()
        self.rounds = Rounds()
        for tasks in task_batches(self._events(run)):
            self._add_tasks(tasks)

    def _events(self, run: Run) -> Iterator[Columns]:
        """The run's events, which are counted on their way."""
        for batch in run.event_batches(*_NEEDED):
            if len(batch["time_us"]):
                self._add_events(batch)
                yield batch

    def _add_events(self, batch: Columns) -> None:
        kind, time_us, client = batch["kind"], batch["time_us"], batch["client"]
        self.end_us = int(time_us[-1])
        self.has_queues = self.has_queues or bool((kind == QUEUED).any())
        step = steps(kind)
        moves = np.flatnonzero((step != 0) & (client >= 0))
        self.busy.add(client[moves], time_us[moves], step[moves])
        used = np.flatnonzero((kind == AGGREGATED) & (batch["staleness"] >= 0) & (client >= 0))
        if len(used):
            self.last_update_us = int(time_us[used[-1]])
        staleness = batch["staleness"][used]
        self.staleness.add(staleness)
        self.series.add(staleness.astype(np.float64), time_us[used].astype(np.float64))
        self.clients.add(client[used], updates=1, staleness=staleness)

    def _add_tasks(self, tasks: Columns) -> None:
        if not len(tasks["client"]):
            return
        client = tasks["client"]
        self.clients.add(
            client,
            tasks=1,
            used=(tasks["aggregated"] >= 0).astype(np.int64),
            lost=((tasks["cancelled"] >= 0) | (tasks["failed"] >= 0)).astype(np.int64),
        )
        computed, spent = compute_us(tasks)
        self.clients.add(client[computed], computed=1, compute_us=spent)
        ended = np.flatnonzero(tasks["ended"] >= 0)
        self.spans.add(tasks["ended"][ended] - tasks["dispatched"][ended])
        for leg, values in legs_us(tasks).items():
            self.legs[leg].add(values[values >= 0])
        self.rounds.add(tasks)


def tally(run: Run) -> Tally:
    """The tally of a run, which the run keeps.

    Raises:
        RunFolderError: the events are missing or damaged.
    """
    kept = vars(run)
    if _TALLY not in kept:
        kept[_TALLY] = Tally(run)
    found: Tally = kept[_TALLY]
    return found


def compute_us(tasks: Columns) -> tuple[Column, Column]:
    """Which tasks have computed, and for how many microseconds."""
    done = np.flatnonzero(tasks["computed"] >= 0)
    started = tasks["started"][done]
    begin = np.where(started >= 0, started, tasks["dispatched"][done])
    return done, tasks["computed"][done] - begin - refresh_us(tasks)[done]


def refresh_us(tasks: Columns) -> Column:
    """For how many microseconds each task stood still, to download a newer model."""
    took = tasks["refreshed"] >= 0
    found: Column = np.where(took, tasks["refreshed"] - tasks["requested"], 0)
    return found


def legs_us(tasks: Columns) -> dict[str, Column]:
    """Microseconds that each arrived task spent in each of `LEGS`; -1 where it has no such leg.

    A leg that is absent ends where it begins; ``buffer`` is missing where a task was never
    aggregated. A second download, during the computation, is ``download`` as well.
    """
    there = np.flatnonzero(tasks["arrived"] >= 0)
    before = tasks["dispatched"][there]
    found = {}
    for leg, milestone in zip(LEGS[:3], ("downloaded", "started", "computed"), strict=True):
        reached = tasks[milestone][there]
        reached = np.where(reached >= 0, reached, before)
        found[leg] = reached - before
        before = reached
    stood = refresh_us(tasks)[there]
    found["download"] += stood
    found["compute"] -= stood
    arrived, aggregated = tasks["arrived"][there], tasks["aggregated"][there]
    found["upload"] = arrived - before
    found["buffer"] = np.where(aggregated >= 0, aggregated - arrived, -1)
    return found
