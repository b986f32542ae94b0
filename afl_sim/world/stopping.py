"""The stop rules, and how a run ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from afl_sim.scenario.sections.settings import Stop
from afl_sim.world.account.account import Account
from afl_sim.world.server.ledger import Ledger


class RunEnded(BaseException):
    """Unwinds the schedule from inside the aggregation that reached a stop rule."""


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        time_us: the virtual time in microseconds.
        rule: the stop rule that was reached.
        remark: why no more versions could come; None if they could, or if enough were made.
    """

    time_us: int
    rule: str
    remark: str | None = None


class StopRules:
    """Knows whether a stop rule is reached.

    Args:
        stop: the limits.
        ledger: has what they limit.
        pause: called when one is reached, so that no further event happens.
        account: has the energy and prices that they limit, if any.

    Attributes:
        reached: the first rule that was reached, or None.
    """

    def __init__(
        self,
        stop: Stop,
        ledger: Ledger,
        pause: Callable[[], None],
        account: Account | None = None,
    ) -> None:
        self.reached: str | None = None
        self._ledger = ledger
        self._pause = pause
        self._versions, self._updates, self._samples = (
            math.inf if limit is None else limit
            for limit in (stop.versions, stop.updates, stop.samples)
        )
        self._costs = stop.by_cost
        self._account = None if stop.by_cost == {} else account

    def end(self, rule: str) -> None:
        """A rule is reached."""
        self.reached = self.reached or rule
        self._pause()

    def look(self) -> None:
        """Compare what has been counted with its limits."""
        ledger = self._ledger
        if ledger.version >= self._versions:
            self.end("versions")
        if ledger.counts.aggregated >= self._updates:
            self.end("updates")
        if ledger.counts.samples >= self._samples:
            self.end("samples")

    def look_at_costs(self, time_us: int) -> None:
        """Compare what has been used until now with its limits."""
        if self._account is None:
            return
        used = self._account.until(time_us).totals
        for rule, limit in self._costs.items():
            if used.get(rule, 0.0) >= limit:
                self.end(rule)
