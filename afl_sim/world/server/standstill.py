"""Telling a run that will never end from one that only takes long."""

from __future__ import annotations

from collections.abc import Callable

from afl_sim.errors import ScheduleError
from afl_sim.scenario.scenario import Scenario
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.server.idle_waits import IdleWaits
from afl_sim.world.server.sender import Sender
from afl_sim.world.server.server import Server

LIMIT = 200_000
LIMIT_PER_CLIENT = 100
"""Tasks without use, updates that are not used, or events that change nothing, in a row. A run that
makes progress has fewer."""

STAYS = 1_000
"""Stays of its client in a row in which a task gets no further. A task that only seldom does has
fewer."""

_COUNTED = ("versions", "updates", "samples")


class Standstill:
    """Refuses a run that makes no progress towards a stop rule.

    The limits grow with the number of clients: all of them may do all that they can at one instant,
    or fail round after round, many times over.

    Args:
        server: what is watched.
        idle_waits: the processes that wait for idle clients.
        sender: knows of tasks that were lost because their clients left.
        missing: tells which clients the server waits for in vain; None if it waits for none.
        scenario: has the stop rules.
    """

    def __init__(
        self,
        server: Server,
        idle_waits: IdleWaits,
        sender: Sender,
        missing: Callable[[], str | None],
        scenario: Scenario,
    ) -> None:
        stop = scenario.stop
        self._server = server
        self._idle_waits = idle_waits
        self._sender = sender
        self._missing = missing
        self._ask_at = server.clients  # after so many tasks without a version, then twice as many
        self.limit_to(LIMIT)
        self._timed = stop.virtual_seconds is not None
        # Whether more versions can end the run at one and the same instant.
        self._counted = any(getattr(stop, rule) is not None for rule in _COUNTED) or (
            bool(stop.by_metric) and scenario.evaluation.every_versions is not None
        )
        self._version = 0
        self._lost = 0  # tasks without use when the version was made
        self._arrived = 0  # updates that had arrived then
        self._cut_short = 0  # tasks that were lost then because their clients had left
        self._now = -1
        self._tasks = -1
        self._at_once = 0  # events since the clock, or a version that counts, moved
        self._idly = 0  # events since a task was sent or ended, or a client was known to come back
        self._back_us: int | None = None  # when the next client is back, if the server waits for it
        self._unpolled = 0  # events since a task was sent or ended

    def limit_to(self, limit: int) -> None:
        """Set the limit for a population of any size, in place of `LIMIT`."""
        self._limit = limit + LIMIT_PER_CLIENT * self._server.clients

    def look(self, events: int) -> None:
        """Check for progress, ``events`` events after the last check.

        Raises:
            ScheduleError: the run would go on like this for ever.
        """
        server, counts = self._server, self._server.counts
        lost = counts.cancelled + counts.discarded + counts.failed
        moved = server.version != self._version
        if moved:
            self._version, self._lost, self._arrived = server.version, lost, counts.arrived
            self._cut_short = self._sender.cut_short
            self._ask_at = server.clients
        now = round(server.now * MICROSECONDS)
        self._at_once = (
            0 if now != self._now or (moved and self._counted) else self._at_once + events
        )
        self._now = now
        tasks = counts.dispatched + counts.arrived + lost
        back_us = self._idle_waits.back_us()
        # A night is long, but ends. Clients that come and go without end are no progress.
        asleep = back_us is not None and back_us == self._back_us
        alive = tasks != self._tasks or asleep or counts.in_flight or server.in_flight
        self._idly = 0 if alive else self._idly + events
        self._unpolled = 0 if tasks != self._tasks else self._unpolled + events
        self._tasks, self._back_us = tasks, back_us
        if self._at_once > self._limit:
            self._refuse("virtual time stands still, because nothing takes any time")
        if self._timed:
            return  # time passes, so its end comes
        unused = counts.arrived - self._arrived
        if unused + lost - self._lost >= self._ask_at:
            self._ask_at = 2 * (unused + lost - self._lost)
            why = self._missing()  # it looks at every client
            if why is not None:
                self._refuse(why)
        if lost - self._lost > self._limit:
            cut_short = self._sender.cut_short - self._cut_short
            what = "all were cancelled, discarded or lost"
            if 2 * cut_short > lost - self._lost:
                why = f"{what}, most because their clients left: {self._sender.short_stay()}"
            else:
                why = f"{what}, perhaps by a deadline that no client can meet"
            self._refuse(f"none of the last {lost - self._lost:,} tasks was of use: {why}")
        if unused > self._limit:
            self._refuse(
                f"none of the last {unused:,} updates that arrived was used: the server waits for "
                "others, perhaps from clients that have left for good"
            )
        if self._idly > self._limit:
            self._refuse("the server goes on waiting, but no client has a task")
        if not self._unpolled:
            self._sender.forget_stays()
        elif self._unpolled > self._limit:
            self._unpolled = 0
            self._look_at_stays()

    def _look_at_stays(self) -> None:
        """Refuse tasks none of which gets any further while its client is there."""
        found = self._sender.stays_in_vain()
        if found is None or found[0] < STAYS:
            return
        stays, task = found
        if self._sender.all_await_polls():
            self._refuse(
                "all clients wait for a poll, but no poll finds one there, although they come and "
                "go: it may be that they leave before, at each of their stays"
            )
        self._refuse(
            f"clients come and go, but no task gets any further while its client is there: client "
            f"{task.client} has stayed {stays:,} times since its task last did "
            f"({task.phase.name.lower()}); perhaps a link carries nothing then, or its speed is 0"
        )

    def _refuse(self, what: str) -> None:
        raise ScheduleError(
            f"the schedule makes no progress towards a stop rule after {self._server.now:g} s and "
            f"{self._server.version} versions: {what}"
        )
