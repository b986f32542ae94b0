"""The ledger: the version, the counts, the tasks in flight, and a log row for every change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afl_sim.world import event_kinds as kinds
from afl_sim.world.clients.undisturbed import LogAhead
from afl_sim.world.clock import Clock
from afl_sim.world.server.statistics import Counts
from afl_sim.world.tasks.task import AGGREGATED, ARRIVED, Phase, Task

Log = Callable[..., None]
"""Takes one event row: the arguments of `afl_sim.recording.EventLog.append`."""

_pack: Final = kinds.ROW.pack

# Rows that say when a transfer is over.
_CROSSED = (kinds.DOWNLOADED, kinds.REFRESHED, kinds.ARRIVED, kinds.LOST)


class Ledger:
    """What has happened so far.

    Args:
        env: the clock.
        log: takes the event rows.
        ahead: takes rows ahead of their time, and gets to know of versions; None if none does.

    Attributes:
        version: the number of versions made so far.
        version_us: when the last of them was made, in microseconds.
        counts: what has happened to the tasks.
        in_flight: the tasks that were sent and have not ended, in order of dispatch.
        heard: if it is there, it gets the version at the last arrival of each client.
        work_done: gives the samples that a task has been trained on by now; if it is there, the row
            of a task that fails or is cancelled tells them.
    """

    def __init__(self, env: Clock, log: Log, ahead: LogAhead | None) -> None:
        self.version = 0
        self.version_us = 0
        self.counts = Counts()
        self.in_flight: dict[Task, None] = {}
        self.heard: dict[int, int] | None = None
        self.work_done: Callable[[Task], int] | None = None
        self._env = env
        self._log = log
        self._versions = None if ahead is None else ahead.versions
        # Most rows are packed here, without a call, if the log lets us.
        self._buffer = None if ahead is None else ahead.buffer
        self._noted_us = -1  # the last instant at which a client came or left
        self._noted: set[tuple[int, int]] = set()  # the kinds of rows, and the clients, at it

    def next_version(self) -> None:
        """The server has made a version."""
        self.version += 1
        self.version_us = self._env.now_us
        if self._versions is not None:
            self._versions.append(self.version_us)

    def send(self, task: Task) -> None:
        """The task is sent; its row comes with `foresee` or `record`."""
        self.in_flight[task] = None
        counts, in_flight = self.counts, len(self.in_flight)
        counts.dispatched += 1
        if in_flight > counts.peak_in_flight:
            counts.peak_in_flight = in_flight

    def arrive(self, task: Task) -> None:
        """The update is at the server."""
        task.phase = ARRIVED
        task.pending = None
        now, buffer = self._env.now_us, self._buffer
        if buffer is None or task.link_us >= 0:
            self.record(kinds.ARRIVED, task, task.upload_bytes)
        else:
            buffer += _pack(
                now,
                kinds.ARRIVED,
                task.client,
                task.number,
                self.version,
                task.base_version,
                -1,
                task.upload_bytes,
                task.steps,
                task.samples,
            )
        counts = self.counts
        del self.in_flight[task]
        counts.busy_us += now - task.sent_us - task.queued_us  # no longer in a queue
        task.arrival = counts.arrived
        counts.arrived += 1
        if self.heard is not None:
            self.heard[task.client] = self.version

    def fail(self, task: Task) -> None:
        """The task has failed, and the server has noticed."""
        done = self._end(task)
        task.phase = Phase.FAILED
        self.counts.failed += 1
        self.record(kinds.FAILED, task, 0, done)

    def cancel(self, task: Task) -> None:
        """The server stops the task."""
        done = self._end(task)
        task.phase = Phase.CANCELLED
        self.counts.cancelled += 1
        self.record(kinds.CANCELLED, task, 0, done)

    def discard(self, task: Task) -> None:
        """The server does not use an update that has arrived."""
        task.phase = Phase.DISCARDED
        self.counts.discarded += 1
        self.record(kinds.DISCARDED, task, 0)

    def use(self, task: Task, context: str | None) -> None:
        """The update went into the version just made; ``context`` is JSON."""
        task.phase = AGGREGATED
        staleness = self.version - 1 - task.base_version
        counts = self.counts
        counts.aggregated += 1
        counts.samples += task.samples
        counts.staleness[staleness] += 1
        row = (
            self._env.now_us,
            kinds.AGGREGATED,
            task.client,
            task.number,
            self.version,
            task.base_version,
            staleness,
            0,
            task.steps,
            task.samples,
        )
        buffer = self._buffer
        if buffer is None or context is not None:
            self._log(*row, context)
        else:
            buffer += _pack(*row)

    def record(self, kind: int, task: Task, size: int, context: str | None = None) -> None:
        """Log an event of a task; ``size`` is the number of bytes that moved.

        If the transfer crossed a contended link of the server, the row also tells when the model
        left that link, or when the update came to it.
        """
        if task.link_us >= 0 and kind in _CROSSED:
            further = "" if context is None else ", " + context[1:-1]
            context, task.link_us = f'{{"link_us": {task.link_us}{further}}}', -1
        self._log(
            self._env.now_us,
            kind,
            task.client,
            task.number,
            self.version,
            task.base_version,
            -1,
            size,
            task.steps,
            task.samples,
            context,
        )

    def record_presence(self, kind: int, client: int) -> None:
        """Log that a client came or left: once at an instant, however many tasks it has."""
        now = self._env.now_us
        if now != self._noted_us:
            self._noted_us, self._noted = now, set()
        if (kind, client) not in self._noted:
            self._noted.add((kind, client))
            self.note(now, kind, client)

    def note(self, time_us: int, kind: int, client: int = -1, context: str | None = None) -> None:
        """Log an event that belongs to no task; ``context`` is JSON."""
        if context is None:
            self._log(time_us, kind, client, -1, self.version)
        else:
            self._log(time_us, kind, client, -1, self.version, -1, -1, 0, -1, -1, context)

    def _end(self, task: Task) -> str | None:
        """The task is no longer in flight; returns the context of the row that says so."""
        del self.in_flight[task]
        self.counts.busy_us += task.busy_us(self._env.now_us)
        if self.work_done is None or task.phase is not Phase.COMPUTING:
            return None
        return f'{{"samples_done": {self.work_done(task)}}}'
