"""Sending tasks to clients that come and go."""

from __future__ import annotations

from afl_sim.world import event_kinds
from afl_sim.world.availability.outages import Outages
from afl_sim.world.clients.churn import Churn
from afl_sim.world.clients.fleet import Fleet
from afl_sim.world.clients.presence import Presence
from afl_sim.world.clock import Clock
from afl_sim.world.learner import Learner, follows
from afl_sim.world.server.idle_waits import IdleWaits
from afl_sim.world.server.ledger import Ledger
from afl_sim.world.tasks.task import PLAIN, Order, Phase, Plan, Task
from afl_sim.world.tasks.workload import Workload

_MISSED = 10_000
"""A client that returns this many times in a row while the server is down counts as gone."""


class Dispatcher:
    """Sends tasks: now, or as soon as their clients are there.

    Args:
        env: the clock.
        ledger: counts and logs.
        presence: which clients are idle and available.
        idle_waits: is told whose client is idle again.
        learner: the numeric half of the run.
        workload: how much work a task is.
        outages: when the server is down.
        fleet: the clients.

    Attributes:
        fleet: the clients.
        sent: how many tasks each client was sent so far.
        plans: of tasks that may be sent next (`NextTasks`).
        waiting: tasks that are sent as soon as their client is available.
        always: whether clients and server are always there, so that `send` will do.
    """

    def __init__(
        self,
        env: Clock,
        ledger: Ledger,
        presence: Presence,
        idle_waits: IdleWaits,
        learner: Learner,
        workload: Workload,
        outages: Outages,
        fleet: Fleet,
    ) -> None:
        self.waiting: dict[Task, None] = {}
        self.fleet = fleet
        self._env = env
        self._ledger = ledger
        self._presence = presence
        self._idle_waits = idle_waits
        self._learner = learner
        self._start = learner.start if follows(learner) else None
        self._foresight = fleet.foresight
        self._workload = workload
        self._extra = None if workload.personal is None else workload.extra_steps
        self._outages = outages
        self._churn: Churn | None = None  # follows clients that leave during a task
        self.always = presence.always and not outages.happen
        self.sent: dict[int, int] = {}
        self._held: dict[int, Task] = {}  # by client, until its battery is charged
        self.plans: dict[int, Plan] = {}

    def request(self, client: int, order: Order = PLAIN) -> Task:
        """Send a task now, or as soon as the client is available.

        Args:
            client: the client's index.
            order: what is asked for.
        """
        if self.always:
            return self.send(client, order)
        now = self._env.now_us
        begin = self._can_begin_us(client, now)
        if begin == now:
            return self.send(client, order)
        task = Task(client, -1, self._ledger.version, 0, 0, now, order.until_polled)
        task.order = order
        if begin is None:
            task.phase = Phase.FAILED  # the client will never be available
            return task
        self._wait(task)
        self._send_at(begin, task)
        return task

    def charge(self, client: int) -> None:
        """The client's battery is charged from now on: a task that was held is sent afterwards."""
        task = self._held.pop(client, None)
        if task is None:
            return
        self._presence.held.discard(client)
        if task.phase is Phase.WAITING:
            self._send_later(task)

    def send(
        self, client: int, order: Order, after: Task | None = None, waiting: Task | None = None
    ) -> Task:
        """Send a task now: a new one, or one that has waited for its client."""
        sent = self.sent
        number = sent.get(client, 0)
        sent[client] = number + 1
        now = self._env.now_us
        version = self._ledger.version
        plan = self.plans.pop((client << 32) + number, None) if order.usual else None
        if plan is None:
            steps, samples = self._workload.amount(client, number, order.epochs, order.steps)
        else:
            steps, samples = plan[0], plan[1]
        if waiting is None:
            task = Task(client, number, version, steps, samples, now, order.until_polled, order)
        else:
            task = waiting
            del self.waiting[task]
            task.set_out(number, version, steps, samples, now)
        if self._extra is not None:
            task.extra_steps = self._extra(client)
        self._presence.start(client, task)
        self._ledger.send(task)
        if plan is None:
            self.fleet.plan(task)
        else:
            task.plan(plan)
        if self._foresight is not None and self._foresight.foresee(task):
            if self._start is not None:
                self._start(task, after)
            return task
        self._ledger.record(event_kinds.DISPATCHED, task, 0)
        if self._start is not None:
            self._start(task, after)
        self.fleet.launch(task)
        if self._churn is not None and task.in_flight:
            self._churn.watch(task)
        return task

    def _wait(self, task: Task) -> None:
        """The task waits for its client."""
        task.phase = Phase.WAITING
        self.waiting[task] = None
        self._presence.start(task.client, task)

    def _send_at(self, begin_us: int, task: Task) -> None:
        """Send a task that waits at this instant, unless it is withdrawn before."""
        now = self._env.now_us
        away = not self._presence.is_there(task.client, now)
        timeout = task.pending = self._env.timeout(begin_us - now)

        def set_out(_: object) -> None:
            if task.pending is not timeout:
                return
            if not self._presence.is_there(task.client, begin_us):
                self._send_later(task)  # its battery was found low meanwhile
                return
            if away:
                self._ledger.record_presence(event_kinds.AVAILABLE, task.client)
            self.send(task.client, task.order, waiting=task)

        timeout.callbacks.append(set_out)

    def _send_later(self, task: Task) -> None:
        """Send a task that waits as soon as its client is there; it fails if that is never."""
        begin = self._can_begin_us(task.client, self._env.now_us)
        if begin is None:
            self._withdraw(task, Phase.FAILED)
        else:
            self._send_at(begin, task)

    def _hold(self, client: int, order: Order) -> None:
        """The client's next task waits until it has uploaded the last one and is charged."""
        task = Task(client, -1, self._ledger.version, 0, 0, self._env.now_us, order.until_polled)
        task.order = order
        self._wait(task)
        self._held[client] = task
        self._presence.held.add(client)

    def _can_begin_us(self, client: int, time_us: int) -> int | None:
        """The first instant from this one on at which client and server are up; None if never."""
        for _ in range(_MISSED):
            begin = self._presence.back_us(client, self._outages.up_us(time_us))
            if begin is None or self._outages.up_us(begin) == begin:
                return begin
            time_us = begin
        return None

    def _withdraw(self, task: Task, phase: Phase) -> None:
        """End a task that waits for its client and was never sent."""
        task.pending = None
        task.phase = phase
        del self.waiting[task]
        self._idle_waits.free(task)
        if task.waiter is not None:
            task.waiter.give_up(task)
