"""Ending tasks before their updates arrive, and sending others in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import itemgetter

from afl_sim.errors import ScheduleError
from afl_sim.world.availability.outages import Outages
from afl_sim.world.clients.churn import Churn, Leaving, Stays
from afl_sim.world.clients.fleet import Fleet
from afl_sim.world.clients.journeys import Reports
from afl_sim.world.clients.presence import Presence
from afl_sim.world.clock import Clock
from afl_sim.world.learner import Learner
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.server.dispatcher import Dispatcher
from afl_sim.world.server.idle_waits import IdleWaits
from afl_sim.world.server.inbox import Inbox
from afl_sim.world.server.ledger import Ledger
from afl_sim.world.tasks.task import Order, Phase, Task
from afl_sim.world.tasks.workload import Workload


class Sender(Dispatcher):
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
        runs_low: tells whether a task that a poll has ended leaves its client's battery low; such
            a client has its next task once it is charged.
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
        fleet = build_fleet(Reports(ledger.record, inbox.deliver, self.fail, self.refresh))
        super().__init__(env, ledger, presence, idle_waits, learner, workload, outages, fleet)
        self.may_replace: Callable[[], bool] = _always
        self.runs_low: Callable[[Task], bool] = _never
        if leaving is not None:
            self._churn = Churn(env, leaving, fleet, self)

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
