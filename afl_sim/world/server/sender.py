"""Sending tasks to clients that come and go, and ending them before their updates arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import itemgetter

from afl_sim.errors import ScheduleError
from afl_sim.world import event_kinds
from afl_sim.world.availability.outages import Outages
from afl_sim.world.clients.churn import Churn, Leaving, Stays
from afl_sim.world.clients.fleet import Fleet, Reports
from afl_sim.world.clients.presence import Presence
from afl_sim.world.clock import Clock
from afl_sim.world.learner import Learner, follows
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.server.idle_waits import IdleWaits
from afl_sim.world.server.inbox import Inbox
from afl_sim.world.server.ledger import Ledger
from afl_sim.world.tasks.task import PLAIN, Order, Phase, Plan, Task
from afl_sim.world.tasks.workload import Workload

_MISSED = 10_000
"""A client that returns this many times in a row while the server is down counts as gone."""


class Sender:
    """Sends tasks, and replaces those that fail.

    What follows a failure depends on who would have had the update. A wait goes on without it. If
    it would have gone to the inbox, another task is sent at once, so that the number of tasks in
    flight stays the same: to the same client, or to one drawn anew if any client will do.

    Args:
        env: the clock.
        ledger: counts and logs.
        presence: which clients are idle and available.
        idle_waits: is told whose client is idle again.
        inbox: where the updates arrive.
        learner: the numeric half of the run.
        workload: how much work a task is.
        outages: when the server is down.
        leaving: what happens when clients leave during a task; None if they finish it first.
        build_fleet: makes the clients, given whom they report to.

    Attributes:
        fleet: the clients.
        sent: how many tasks each client was sent so far.
        plans: of tasks that may be sent next (`NextTasks`).
        waiting: tasks that are sent as soon as their client is available.
        runs_low: tells whether a task that a poll has ended leaves its client's battery low; such
            a client has its next task once it is charged.
        always: whether clients and server are always there, so that `send` will do.
        may_replace: whether another client is drawn in place of one whose task has failed; asked
            each time.
    """

    def __init__(
        self,
        *,
        env: Clock,
        ledger: Ledger,
        presence: Presence,
        idle_waits: IdleWaits,
        inbox: Inbox,
        learner: Learner,
        workload: Workload,
        outages: Outages,
        leaving: Leaving | None,
        build_fleet: Callable[[Reports], Fleet],
    ) -> None:
        self.waiting: dict[Task, None] = {}
        self.may_replace: Callable[[], bool] = _always
        self.runs_low: Callable[[Task], bool] = _never
        self.fleet = build_fleet(Reports(ledger.record, inbox.deliver, self.fail, self.refresh))
        self._env = env
        self._ledger = ledger
        self._presence = presence
        self._idle_waits = idle_waits
        self._learner = learner
        self._start = learner.start if follows(learner) else None
        self._foresight = self.fleet.foresight
        self._workload = workload
        self._extra = None if workload.personal is None else workload.extra_steps
        self._outages = outages
        self._churn = None if leaving is None else Churn(env, leaving, self.fleet, self)
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

    def recall(self, task: Task, repeat_step: bool = False) -> None:
        """Have the client stop and send what it has done; a task that was never sent fails."""
        if task.phase is Phase.WAITING:
            self._withdraw(task, Phase.FAILED)
        else:
            task.order = replace(task.order, retry=False)
            self.call_back(task, repeat_step)

    def poll(self, client: int, repeat_step: bool = False) -> Task:
        """Recall the client's task and send it the next one, which goes on from there.

        Args:
            client: the client's index.
            repeat_step: the step that this breaks off takes as long again in the next task.

        Raises:
            ScheduleError: the client has no task that waits for a poll, or is away.
        """
        polled = self._presence.task(client)
        if polled is None or not polled.until_polled or polled.phase is Phase.WAITING:
            raise ScheduleError(f"client {client} has no task that waits for a poll")
        if not self._presence.is_there(client, self._env.now_us):
            raise ScheduleError(f"client {client} is away and cannot be polled")
        self.recall(polled, repeat_step)
        order = Order(
            steps=polled.limit,
            until_polled=True,
            lr_factor=polled.lr_factor,
            messages=polled.messages,
        )
        if polled.in_flight and self.runs_low(polled):
            self._hold(client, order)
        elif self._presence.is_there(client, self._env.now_us):
            self.send(client, order, after=polled)
        else:
            self.request(client, order)
        return polled

    def cancel(self, task: Task) -> None:
        """Stop a task that is in flight; its client is free at once."""
        if task.phase is Phase.WAITING:
            self._withdraw(task, Phase.CANCELLED)
            return
        self._ledger.cancel(task)
        self._clear_away(task)
        if task.waiter is not None:
            task.waiter.give_up(task)

    def fail(self, task: Task) -> None:
        """A task in flight has failed, which the server notices as soon as it is up."""
        now = self._env.now_us
        noticed = self._outages.up_us(now)
        if noticed > now:
            task.lost = True
            self.fleet.halt(task)
            self.fleet.put_off(task, noticed - now, self.fail)
            return
        self._ledger.fail(task)
        self._clear_away(task)
        if task.waiter is not None:
            task.waiter.give_up(task)
        elif task.order.retry and not task.unwanted:
            self._replace(task)

    def refresh(self, task: Task) -> bool:
        """A client asks for the newest model; returns whether it is newer than the task's own."""
        version = self._ledger.version
        if version > task.base_version:
            task.fresh_version = version
        self._learner.refresh(task)
        return task.fresh_version >= 0

    def call_back(self, task: Task, repeat_step: bool = False) -> None:
        """The client stops and sends what it has done."""
        if self.fleet.interrupt(task, repeat_step):
            self._learner.recall(task)
            self.fleet.send_back(task)

    def all_await_polls(self) -> bool:
        """Whether all tasks in flight have reached their clients, and compute until polled."""
        tasks = self._ledger.in_flight
        return all(task.pollable and task.phase is Phase.COMPUTING for task in tasks)

    def stays_in_vain(self) -> tuple[int, Task] | None:
        """For how many stays of its client each task has got no further, at least; and one task.

        They are counted from the first call on, and anew after `forget_stays`. None if there is no
        task, or no client leaves during one.
        """
        if self._churn is None:
            return None
        if self._churn.stays is None:
            self._churn.stays = Stays()
        stays = self._churn.stays
        found = ((stays.in_vain(task), task) for task in self._ledger.in_flight)
        return min(found, key=itemgetter(0), default=None)

    def forget_stays(self) -> None:
        """Count no stays for now."""
        if self._churn is not None:
            self._churn.stays = None

    @property
    def cut_short(self) -> int:
        """How many tasks have been lost because their clients left."""
        return 0 if self._churn is None else self._churn.cut_short

    def short_stay(self) -> str:
        """The last of these in words: how long its client was there, and how long it takes."""
        assert self._churn is not None
        assert self._churn.last_cut is not None
        task, stay_us = self._churn.last_cut
        there, needed = stay_us / MICROSECONDS, (task.due_us - task.sent_us) / MICROSECONDS
        least = "at least " if task.until_polled else ""
        return (
            f"client {task.client} was there for {there:g} s of the last task, which takes "
            f"{least}{needed:g} s from download to upload"
        )

    def sharing(self, task: Task) -> list[Task]:
        """The tasks of the same client, in the order in which it does them."""
        return self._presence.sharing(task)

    def record_presence(self, kind: int, client: int) -> None:
        """Log that a client came or left."""
        self._ledger.record_presence(kind, client)

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

    def _clear_away(self, task: Task) -> None:
        """Nobody works on the task any more."""
        self.fleet.halt(task)
        self._learner.drop(task)
        self._idle_waits.free(task)

    def _replace(self, task: Task) -> None:
        """Send another task in place of one that has failed."""
        if task.order.drawn:
            if not self.may_replace():
                return
            for client in self._presence.workers(1, self._env.now_us):
                self.request(client, task.order)
        elif self._presence.accepts(task.client):
            self.request(task.client, task.order)


def _always() -> bool:
    return True


def _never(task: Task) -> bool:
    return False
