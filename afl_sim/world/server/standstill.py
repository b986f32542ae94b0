"""Telling a run that will never end from one that only takes long."""

from __future__ import annotations

from afl_sim.errors import ScheduleError
from afl_sim.scenario.scenario import Scenario
from afl_sim.world.clock import MICROSECONDS
from afl_sim.world.server.server import Server

LIMIT = 200_000
LIMIT_PER_CLIENT = 100
"""Tasks that come to nothing, updates that nobody uses, or events that change nothing, in a row: no
run means that many."""

_COUNTED = ("versions", "updates", "samples")


class Standstill:
    """Watches for the ways in which no stop rule comes any nearer.

    The limits grow with the fleet, so that one of any size may do all that it can at one instant,
    or come to nothing round after round, many times over.

    Args:
        server: what is watched.
        scenario: for its stop rules.
        limit: in place of `LIMIT`.
    """

    def __init__(self, server: Server, scenario: Scenario, limit: int | None = None) -> None:
        stop = scenario.stop
        self._server = server
        self._limit = (LIMIT if limit is None else limit) + LIMIT_PER_CLIENT * server.clients
        self._timed = stop.virtual_seconds is not None
        # Whether more versions can end the run at one and the same instant.
        self._counted = any(getattr(stop, rule) is not None for rule in _COUNTED) or (
            stop.accuracy is not None and scenario.evaluation.every_versions is not None
        )
        self._version = 0
        self._lost = 0  # tasks that had come to nothing when the version was made
        self._arrived = 0  # updates that had arrived then
        self._now = -1
        self._tasks = -1
        self._at_once = 0  # events since the clock, or a version that counts, moved
        self._idly = 0  # events since a task was sent or ended, or somebody was known to come back
        self._back_us: int | None = None  # who comes back next, if the server waits for that

    def look(self, events: int) -> None:
        """Look on after so many more events.

        Raises:
            ScheduleError: the run would go on like this for ever.
        """
        server, counts = self._server, self._server.counts
        lost = counts.cancelled + counts.discarded + counts.failed
        moved = server.version != self._version
        if moved:
            self._version, self._lost, self._arrived = server.version, lost, counts.arrived
        now = round(server.now * MICROSECONDS)
        self._at_once = (
            0 if now != self._now or (moved and self._counted) else self._at_once + events
        )
        self._now = now
        tasks = counts.dispatched + counts.arrived + lost
        back_us = server.awaited_back_us()
        # A night is long, but ends. Those who come and go without end are no sign of life.
        asleep = back_us is not None and back_us == self._back_us
        alive = tasks != self._tasks or asleep or counts.in_flight or server.in_flight
        self._idly = 0 if alive else self._idly + events
        self._tasks, self._back_us = tasks, back_us
        if self._at_once > self._limit:
            self._give_up("virtual time stands still: everything takes no time at all")
        if self._timed:
            return  # time passes, so the horizon comes
        if lost - self._lost > self._limit:
            self._give_up(
                f"none of the last {lost - self._lost:,} tasks came to anything: all were "
                "cancelled, discarded or lost, perhaps by a deadline that nobody can meet"
            )
        if counts.arrived - self._arrived > self._limit:
            self._give_up(
                f"none of the last {counts.arrived - self._arrived:,} updates that arrived was "
                "used: the server waits for others, perhaps from clients that have left for good"
            )
        if self._idly > self._limit:
            self._give_up("the server goes on waiting, but nobody has a task")

    def _give_up(self, what: str) -> None:
        raise ScheduleError(
            f"the schedule comes no nearer to a stop rule after {self._server.now:g} s and "
            f"{self._server.version} versions: {what}"
        )
