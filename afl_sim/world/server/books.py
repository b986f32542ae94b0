"""The server's books: who has which task, what arrived, what happened."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import simpy

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.streams import Streams
from afl_sim.world import event_kinds
from afl_sim.world.availability.outages import Outages
from afl_sim.world.availability.timelines import Availability
from afl_sim.world.clients.fleet import Fleet
from afl_sim.world.clients.idle import IdleClients
from afl_sim.world.clients.presence import Presence
from afl_sim.world.clients.queueing import QueueingPresence
from afl_sim.world.learner import Learner
from afl_sim.world.server.statistics import Counts
from afl_sim.world.tasks.task import Order, Phase, Task

# What is logged when a transfer is over.
_CROSSED = (event_kinds.DOWNLOADED, event_kinds.ARRIVED, event_kinds.LOST)


class Books:
    """State that the `Server`'s words change, and the log of every change.

    Args:
        env: the SimPy environment.
        clients: the size of the population.
        streams: the run's random streams.
        learner: the numeric half of the run.
        log: takes one event row (`afl_sim.recording.EventLog.append`).
        aggregation_seconds: how long an aggregation takes.
        on_version: called after each new version.
        reads_results: whether the schedule may read results.
        availability: when clients can be reached; None is always.
        outages: when the server is down; None is never.
        queues: whether clients queue tasks that they are sent while they have one.
    """

    fleet: Fleet  # set by the world, which builds both
    strategy: object = None  # likewise: whose schedule this is

    def __init__(
        self,
        env: simpy.Environment,
        clients: int,
        streams: Streams,
        learner: Learner,
        log: Callable[..., None],
        aggregation_seconds: Distribution,
        on_version: Callable[[], None],
        reads_results: bool = False,
        availability: Availability | None = None,
        outages: Outages | None = None,
        queues: bool = False,
    ) -> None:
        self.version = 0
        self.counts = Counts()
        self._aggregations = 0  # begun so far; where none overlap, the version
        self._env = env
        self._streams = streams
        self._learner = learner
        self._log = log
        self._aggregation_seconds = aggregation_seconds
        self._on_version = on_version
        self._reads_results = reads_results
        self._idle = IdleClients(clients, streams)
        self._queues = queues
        self._presence = (QueueingPresence if queues else Presence)(self._idle, availability)
        self._sent: dict[int, int] = {}  # client -> tasks sent so far
        self._flying: dict[Task, None] = {}  # in order of dispatch
        self._waiting: dict[Task, None] = {}  # for their clients to be back
        self._inbox: dict[Task, None] = {}  # in order of arrival
        self._reader: simpy.Event | None = None
        # How long the server is busy with evaluating a version it has made; None is never.
        self.evaluation_seconds: Callable[[int], float] | None = None
        self.listener: Callable[[Task], None] | None = None  # hears of every arrival
        self._outages = outages or Outages(None, streams)
        self._idle_waits: list[tuple[int, Sequence[int] | None, simpy.Event]] = []
        self._idle_timer_us = -1

    def _send(
        self,
        client: int,
        order: Order,
        after: Task | None = None,
        waiting: Task | None = None,
    ) -> Task:
        """Send a task, a new one or one that waited for its client."""
        number = self._sent.get(client, 0)
        self._sent[client] = number + 1
        now = int(self._env.now)
        steps, samples = self.fleet.workload.amount(client, number, order.epochs, order.steps)
        if waiting is None:
            task = Task(client, number, self.version, steps, samples, now, order.until_polled)
            task.order = order
        else:
            task = waiting
            del self._waiting[task]
            task.set_out(number, self.version, steps, samples, now)
        self._presence.start(client, task)
        self._flying[task] = None
        counts, in_flight = self.counts, len(self._flying)
        counts.dispatched += 1
        if in_flight > counts.peak_in_flight:
            counts.peak_in_flight = in_flight
        self.record(event_kinds.DISPATCHED, task, 0)
        self.fleet.plan(task)
        self._learner.start(task, after)
        self.fleet.launch(task)
        return task

    def deliver(self, task: Task) -> None:
        """An update has reached the server (called by the fleet)."""
        self._end_flight(task)
        self._learner.arrive(task)
        task.arrival = self.counts.arrived
        self.counts.arrived += 1
        if self.listener is not None:
            self.listener(task)
        if task.unwanted:
            self._throw_away(task)
            if task.waiter is not None:
                task.waiter.give_up(task)
        elif task.waiter is not None and not task.waiter.triggered:
            task.waiter.arrive(task)
        elif self._reader is not None:
            reader, self._reader = self._reader, None
            reader.succeed(task)
        else:
            self._inbox[task] = None

    def record(self, kind: int, task: Task, size: int) -> None:
        """Log an event of a task; ``size`` is the number of bytes that moved.

        Where a transfer is over that crossed a contended link of the server, the log says beside it
        when a model left that link, or when an update came to it.
        """
        crossed = None
        if task.link_us >= 0 and kind in _CROSSED:
            crossed, task.link_us = f'{{"link_us": {task.link_us}}}', -1
        self._log(
            self._env.now,
            kind,
            task.client,
            task.number,
            self.version,
            task.base_version,
            -1,
            size,
            task.steps,
            task.samples,
            crossed,
        )

    def _throw_away(self, task: Task) -> None:
        """Discard an update that has arrived."""
        task.phase = Phase.DISCARDED
        self._inbox.pop(task, None)
        self.counts.discarded += 1
        self.record(event_kinds.DISCARDED, task, 0)
        self._learner.drop(task)
        self._take(task)

    def _make_version(
        self, batch: list[Task], context: dict[str, Any], began_us: int | None = None
    ) -> None:
        """Aggregate; where that has taken time, the log says beside the context when it began."""
        self._learner.aggregate(batch, self.version + 1, context)
        self.version += 1
        noted = context if began_us is None else {**context, "began_us": began_us}
        text = _json(noted) if noted else None
        for task in batch:
            if task.phase is Phase.AGGREGATED:
                continue  # an update that a method uses again counts once
            self._count_use(task, text)
        self._on_version()

    def _count_use(self, task: Task, context: str | None) -> None:
        """An update went into the version just made."""
        task.phase = Phase.AGGREGATED
        self._inbox.pop(task, None)
        self._take(task)  # a schedule may use an update that it never took
        staleness = self.version - 1 - task.base_version
        self.counts.aggregated += 1
        self.counts.samples += task.samples
        self.counts.staleness[staleness] += 1
        self._log(
            self._env.now,
            event_kinds.AGGREGATED,
            task.client,
            task.number,
            self.version,
            task.base_version,
            staleness,
            0,
            task.steps,
            task.samples,
            context,
        )

    def _end_flight(self, task: Task) -> None:
        del self._flying[task]
        self.counts.busy_us += task.busy_us(int(self._env.now))

    def _take(self, task: Task) -> None:
        """The client is idle again, unless it has another task."""
        if self._presence.end(task) and self._idle_waits:
            self._wake_idle_waits()

    def _take_value(self, event: Any) -> None:
        self._take(event.value)

    def _wake_idle_waits(self) -> None:
        """Let those go on for whom enough clients are idle; the others wait for the next change."""
        now = int(self._env.now)
        waits, self._idle_waits = self._idle_waits, []
        for wait in waits:
            n, among, event = wait
            if self._presence.has(n, now, among):
                event.succeed()
            else:
                self._idle_waits.append(wait)
        self._set_idle_timer()

    def awaited_back_us(self) -> int | None:
        """When the next client is back, where the server waits for clients to be idle and there."""
        return self._presence.next_back_us() if self._idle_waits else None

    def _set_idle_timer(self) -> None:
        """Look again when a client comes back, if anyone waits for that."""
        back = self._presence.next_back_us()
        now = int(self._env.now)
        if not self._idle_waits or back is None or now <= self._idle_timer_us <= back:
            return
        back = self._outages.up_us(back)
        self._idle_timer_us = back
        timeout = self._env.timeout(back - now)
        timeout.callbacks.append(self._on_idle_timer)

    def _on_idle_timer(self, _: simpy.Event) -> None:
        self._idle_timer_us = -1
        self._wake_idle_waits()


def _json(context: dict[str, Any]) -> str:
    """The context as JSON, which has no word for numbers that are not finite: they are null."""
    try:
        return json.dumps(context, sort_keys=True, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(context), sort_keys=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
