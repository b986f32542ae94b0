"""Whether another version can still come, and why not."""

from __future__ import annotations

from typing import Protocol

from afl_sim.world.clients.fleet import Fleet
from afl_sim.world.clock import Background
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.server.parts import Parts


class Waiting(Protocol):
    """A schedule that may wait for every client."""

    @property
    def waits_for_all(self) -> bool:
        """Whether there is no version before every client has sent an update."""

    @property
    def waits_again(self) -> bool:
        """Whether that holds for each later version, too, and updates since the one before."""


class Outlook:
    """What a run can still come to.

    Args:
        parts: what the server is made of.
        background: the processes that follow the clock alone.
        strategy: whose schedule it is.
    """

    def __init__(self, parts: Parts, background: Background, strategy: Waiting) -> None:
        self._parts = parts
        self._fleet: Fleet = parts.sender.fleet
        self._background = background
        self._waits_again = strategy.waits_again
        if strategy.waits_for_all:
            parts.ledger.heard = {}

    def remark(self) -> str | None:
        """What is to be said of a run whose time is up; None if another version could have come.

        It is also said if there was no version at all.
        """
        ledger, counts = self._parts.ledger, self._parts.ledger.counts
        why = self.at_rest() if self._background.alone else self._nobody() or self.missing()
        if why is None and ledger.version == 0:
            lost = counts.failed + counts.cancelled + counts.discarded
            why = (
                f"of {counts.dispatched:,} tasks {lost:,} were lost, cancelled or discarded, "
                f"{counts.buffered:,} arrived and were not used, and {counts.in_flight:,} are "
                "under way"
            )
            if 2 * self._parts.sender.cut_short > lost:
                stay = self._parts.sender.short_stay()
                why += f"; most were lost because their clients left: {stay}"
        if why is None:
            return None
        if ledger.version == 0:
            return f"no version was made: {why}"
        return f"no version after {ledger.version_us / MICROSECONDS:g} s: {why}"

    def at_rest(self) -> str:
        """Why nothing can happen any more."""
        why = self._nobody() or self.missing()
        if why is not None:
            return why
        idle = "" if self._parts.ledger.in_flight else "no task is in flight, and "
        return f"{idle}nothing that the server waits for can happen"

    def _nobody(self) -> str | None:
        """That there is nobody left who could be sent a task; None if there is somebody."""
        if self._parts.ledger.in_flight or not self._parts.idle_waits.everyone_is_gone():
            return None
        return "no idle client will ever be there again"

    def missing(self) -> str | None:
        """Which clients the server waits for in vain; None if it waits for none.

        Before the first version that is known as soon as a client that has sent nothing will never
        do so; and so it is later for a server that needs every client again. Another one may have
        what it needs from before its last version. It waits in vain for sure once all who still can
        have sent an update, and it has made no version of them.
        """
        ledger = self._parts.ledger
        heard = ledger.heard
        if heard is None:
            return None
        population = self._parts.presence.population
        silent = [c for c in range(population) if heard.get(c, -1) < ledger.version]
        lost = [client for client in silent if not self._may_send(client)]
        known = self._waits_again or not ledger.version
        if not lost or not (known or len(lost) == len(silent)):
            return None
        what = "further updates" if ledger.version else "an update of every client"
        first, many = lost[0], len(lost)
        how = "has left for good" if self._is_gone(first) else "crashes in each of its tasks"
        return (
            f"the server waits for {what}, but {many:,} of {population:,} clients will never send "
            f"one: client {first} {how}"
        )

    def _may_send(self, client: int) -> bool:
        """Whether an update of the client may still arrive."""
        task = self._parts.presence.task(client)
        if task is not None and task.in_flight and not task.lost:
            sent_us = task.sent_us
        elif self._is_gone(client):
            return False
        else:
            sent_us = self._parts.env.now_us
        return not self._fleet.crashes(client, sent_us)

    def _is_gone(self, client: int) -> bool:
        return self._parts.presence.back_us(client, self._parts.env.now_us) is None
