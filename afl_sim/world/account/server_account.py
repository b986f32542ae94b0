"""The account of the server: its energy, its prices and its carbon."""

from __future__ import annotations

from dataclasses import dataclass

from afl_sim.world.account.costs import ServerTariff
from afl_sim.world.account.intensity import Intensity


@dataclass
class ServerAccount:
    """What the server has used until now.

    Attributes:
        watts: its power (microwatts); None if its energy is not counted.
        intensity: of its electricity; None if carbon is not counted.
        tariff: its prices.
        received, sent: bytes.
    """

    watts: int | None
    intensity: Intensity | None
    tariff: ServerTariff
    received: int = 0
    sent: int = 0

    def energy(self, time_us: int) -> int | None:
        """Until an instant, picojoules; None if it is not counted."""
        return None if self.watts is None else self.watts * time_us

    def carbon(self, time_us: int) -> int | None:
        """Until an instant (see `PER_GRAM`); None if it is not counted."""
        if self.watts is None or self.intensity is None:
            return None
        return self.watts * self.intensity.until(time_us)

    def price(self, time_us: int) -> float:
        """Until an instant, in the scenario's money."""
        return self.tariff.price(time_us, self.received, self.sent)
