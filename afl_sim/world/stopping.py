"""The stop rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afl_sim.scenario.sections.settings import Stop
from afl_sim.world.account.account import Account
from afl_sim.world.server.ledger import Ledger

_NEVER: Final = (1 << 62) - 1  # a limit that is not reached


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
        self._versions: int = _NEVER if stop.versions is None else stop.versions
        self._updates: int = _NEVER if stop.updates is None else stop.updates
        self._samples: int = _NEVER if stop.samples is None else stop.samples
        self._costs = stop.by_cost
        self._account = None if stop.by_cost == {} else account

    def end(self, rule: str) -> None:
        """A rule is reached."""
        self.reached = self.reached or rule
        self._pause()

    def look(self) -> None:
        """Compare what has been counted with its limits."""
        ledger = self._ledger
        counts = ledger.counts
        if ledger.version >= self._versions:
            self.end("versions")
        if counts.aggregated >= self._updates:
            self.end("updates")
        if counts.samples >= self._samples:
            self.end("samples")

    def look_at_costs(self, time_us: int) -> None:
        """Compare what has been used until now with its limits."""
        if self._account is None:
            return
        used = self._account.until(time_us).totals
        for rule, limit in self._costs.items():
            if used.get(rule, 0.0) >= limit:
                self.end(rule)
