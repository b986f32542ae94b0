"""Tasks that cannot be sent yet, and tasks that come to nothing."""

from __future__ import annotations

from afl_sim.errors import ScheduleError
from afl_sim.world import event_kinds
from afl_sim.world.clients.selection import Selector
from afl_sim.world.clock import MICROSECONDS
from afl_sim.world.server.books import Books
from afl_sim.world.tasks.task import PLAIN, Order, Phase, Task

_IDLE_ROUNDS = 10_000
_MISSED = 10_000  # times in a row that a client comes while the server is down: they never meet


class Sending(Books):
    """Sends tasks to clients that come and go, and replaces tasks that fail.

    What becomes of a task that fails depends on who would have had its update. A wait for it goes
    on without it. If it would have gone to the inbox, another is sent at once, so that as many are
    under way as before: to the same client, or, where any client would do, to one drawn anew.
    """

    _idle_rounds = 0  # aggregations of nothing in a row
    _idle_state: tuple[int, int, int] | None = None  # when, and after how many tasks
    _noted_us = -1  # the last instant at which a client came or left
    _noted: set[tuple[int, int]]  # and who did then

    def _request(self, client: int, order: Order = PLAIN, after: Task | None = None) -> Task:
        """Send a task now, or as soon as the client is there."""
        now = int(self._env.now)
        begin = self._can_begin_us(client, now)
        if begin == now:
            return self._send(client, order, after)
        task = Task(client, -1, self.version, 0, 0, now, order.until_polled)
        task.order = order
        if begin is None:
            task.phase = Phase.FAILED  # nobody will ever take it
            return task
        away = not self._presence.is_there(client, now)
        task.phase = Phase.WAITING
        self._waiting[task] = None
        self._presence.start(client, task)
        timeout = task.pending = self._env.timeout(begin - now)

        def set_out(_: object) -> None:
            if task.pending is timeout:
                if away:
                    self.record_presence(event_kinds.AVAILABLE, client)
                self._send(client, order, after, waiting=task)

        timeout.callbacks.append(set_out)
        return task

    def _can_begin_us(self, client: int, time_us: int) -> int | None:
        """The first instant from this one on at which both ends are there; None if never."""
        for _ in range(_MISSED):
            begin = self._presence.back_us(client, self._outages.up_us(time_us))
            if begin is None or self._outages.up_us(begin) == begin:
                return begin
            time_us = begin
        return None

    def _withdraw(self, task: Task, phase: Phase) -> None:
        """A task that waits for its client is no longer wanted: it was never sent."""
        task.pending = None
        task.phase = phase
        del self._waiting[task]
        self._take(task)
        if task.waiter is not None:
            task.waiter.give_up(task)

    def fail(self, task: Task) -> None:
        """A task in flight comes to nothing (called by the fleet)."""
        now = int(self._env.now)
        heard = self._outages.up_us(now)
        if heard > now:
            task.lost = True
            self.fleet.halt(task)
            self.fleet.put_off(task, heard - now, self.fail)
            return
        self._end_flight(task)
        task.phase = Phase.FAILED
        self.counts.failed += 1
        self.record(event_kinds.FAILED, task, 0)
        self.fleet.halt(task)
        self._learner.drop(task)
        self._take(task)
        if task.waiter is not None:
            task.waiter.give_up(task)
        elif task.order.retry and not task.unwanted:
            self._replace(task)

    def everyone_is_gone(self) -> bool:
        """Whether all idle clients have left for good."""
        return self._presence.everyone_is_gone(int(self._env.now))

    def select_by(self, selector: Selector | None, reads_results: bool) -> None:
        """Have clients chosen so from now on.

        Args:
            selector: None for uniform choices.
            reads_results: whether it is to hear of the updates that arrive.
        """
        self._presence.selector = selector
        if selector is None or not reads_results:
            return

        def listen(task: Task) -> None:
            if task.steps:
                seconds = (int(self._env.now) - task.sent_us) / MICROSECONDS
                loss = self._learner.result(task, self.version + 1).loss
                selector.hear(task.client, loss, seconds)

        self.listener = listen

    def call_back(self, task: Task) -> None:
        """The client stops, and sends what it has done (called by the fleet, too)."""
        if self.fleet.interrupt(task):
            self._learner.recall(task)
            self.fleet.send_back(task)

    def _came_to_nothing(self) -> None:
        """An aggregation has no updates: refuse to go round like this for ever at one instant."""
        state = (int(self._env.now), self.counts.dispatched, self.counts.arrived)
        self._idle_rounds = self._idle_rounds + 1 if state == self._idle_state else 0
        self._idle_state = state
        if self._idle_rounds > _IDLE_ROUNDS:
            why = "nobody has a task, and it waits for nobody"
            if self.everyone_is_gone():
                why = "no idle client will ever be there again"
            now = self._env.now / MICROSECONDS
            raise ScheduleError(
                f"the schedule aggregates nothing, again and again, at {now:g} s: {why}"
            )

    @property
    def under_way(self) -> tuple[Task, ...]:
        """The tasks that were sent and have not ended, oldest first."""
        return tuple(self._flying)

    def sharing(self, task: Task) -> list[Task]:
        """The tasks that are at the same client, in the order in which it does them."""
        return self._presence.sharing(task)

    def record_presence(self, kind: int, client: int) -> None:
        """Log that a client came or left: once, however many tasks it has."""
        now = int(self._env.now)
        if now != self._noted_us:
            self._noted_us, self._noted = now, set()
        if (kind, client) in self._noted:
            return
        self._noted.add((kind, client))
        self._log(self._env.now, kind, client, -1, self.version)

    def _replace(self, task: Task) -> None:
        if task.order.drawn:
            for client in self._presence.workers(1, int(self._env.now)):
                self._request(client, task.order)
        elif self._presence.accepts(task.client):
            self._request(task.client, task.order)
