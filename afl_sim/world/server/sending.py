"""Tasks that cannot be sent yet, and tasks that come to nothing."""

from __future__ import annotations

from afl_sim.errors import ScheduleError
from afl_sim.world import event_kinds
from afl_sim.world.clients.selection import Selector
from afl_sim.world.clock import MICROSECONDS
from afl_sim.world.server.books import Books
from afl_sim.world.tasks.task import PLAIN, Dispatch, Order, Phase

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

    def _request(
        self, client: int, order: Order = PLAIN, after: Dispatch | None = None
    ) -> Dispatch:
        """Send a task now, or as soon as the client is there."""
        now = int(self._env.now)
        begin = self._can_begin_us(client, now)
        if begin == now:
            return self._send(client, order, after)
        dispatch = Dispatch(client, -1, self.version, 0, 0, now, order.until_polled)
        dispatch.order = order
        if begin is None:
            dispatch.phase = Phase.FAILED  # nobody will ever take it
            return dispatch
        away = not self._presence.is_there(client, now)
        dispatch.phase = Phase.WAITING
        self._waiting[dispatch] = None
        self._presence.start(client, dispatch)
        timeout = dispatch.pending = self._env.timeout(begin - now)

        def set_out(_: object) -> None:
            if dispatch.pending is timeout:
                if away:
                    self.record_presence(event_kinds.AVAILABLE, client)
                self._send(client, order, after, waiting=dispatch)

        timeout.callbacks.append(set_out)
        return dispatch

    def _can_begin_us(self, client: int, time_us: int) -> int | None:
        """The first instant from this one on at which both ends are there; None if never."""
        for _ in range(_MISSED):
            begin = self._presence.back_us(client, self._outages.up_us(time_us))
            if begin is None or self._outages.up_us(begin) == begin:
                return begin
            time_us = begin
        return None

    def _withdraw(self, dispatch: Dispatch, phase: Phase) -> None:
        """A task that waits for its client is no longer wanted: it was never sent."""
        dispatch.pending = None
        dispatch.phase = phase
        del self._waiting[dispatch]
        self._take(dispatch)
        if dispatch.waiter is not None:
            dispatch.waiter.give_up(dispatch)

    def fail(self, dispatch: Dispatch) -> None:
        """A task in flight comes to nothing (called by the fleet)."""
        now = int(self._env.now)
        heard = self._outages.up_us(now)
        if heard > now:
            dispatch.lost = True
            self.fleet.halt(dispatch)
            self.fleet.put_off(dispatch, heard - now, self.fail)
            return
        self._end_flight(dispatch)
        dispatch.phase = Phase.FAILED
        self.counts.failed += 1
        self.record(event_kinds.FAILED, dispatch, 0)
        self.fleet.halt(dispatch)
        self._learner.drop(dispatch)
        self._take(dispatch)
        if dispatch.waiter is not None:
            dispatch.waiter.give_up(dispatch)
        elif dispatch.order.retry and not dispatch.unwanted:
            self._replace(dispatch)

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

        def listen(dispatch: Dispatch) -> None:
            if dispatch.steps:
                seconds = (int(self._env.now) - dispatch.sent_us) / MICROSECONDS
                loss = self._learner.result(dispatch, self.version + 1).loss
                selector.hear(dispatch.client, loss, seconds)

        self.listener = listen

    def call_back(self, dispatch: Dispatch) -> None:
        """The client stops, and sends what it has done (called by the fleet, too)."""
        if self.fleet.interrupt(dispatch):
            self._learner.recall(dispatch)
            self.fleet.send_back(dispatch)

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
    def under_way(self) -> tuple[Dispatch, ...]:
        """The tasks that were sent and have not ended, oldest first."""
        return tuple(self._flying)

    def sharing(self, dispatch: Dispatch) -> list[Dispatch]:
        """The tasks that are at the same client, in the order in which it does them."""
        return self._presence.sharing(dispatch)

    def record_presence(self, kind: int, client: int) -> None:
        """Log that a client came or left: once, however many tasks it has."""
        now = int(self._env.now)
        if now != self._noted_us:
            self._noted_us, self._noted = now, set()
        if (kind, client) in self._noted:
            return
        self._noted.add((kind, client))
        self._log(self._env.now, kind, client, -1, self.version)

    def _replace(self, dispatch: Dispatch) -> None:
        if dispatch.order.drawn:
            for client in self._presence.workers(1, int(self._env.now)):
                self._request(client, dispatch.order)
        elif self._presence.accepts(dispatch.client):
            self._request(dispatch.client, dispatch.order)
