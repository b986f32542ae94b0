"""The account of a part of the fleet: the clients for which the same laws and prices hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from afl_sim.world.account.costs import Tariff
from afl_sim.world.account.devices import Devices
from afl_sim.world.account.intensity import Intensity

DOWNLOAD, COMPUTE, UPLOAD, IDLE = range(4)


@dataclass
class PartAccount:
    """What a part of the fleet has used until now.

    Attributes:
        devices: what its devices use.
        tariff: what its clients are paid.
        intensity: of its electricity; None if carbon is not counted.
        watts: the power of all its devices now, by phase (microwatts).
        energy: what they have used, by phase (picojoules).
        carbon: of an intensity that changes, the carbon so far (see `PER_GRAM`).
        tasks: that were sent to its clients.
        moved: bytes that they have downloaded and uploaded.
    """

    devices: Devices
    tariff: Tariff
    intensity: Intensity | None
    watts: list[int] = field(default_factory=lambda: [0] * 4)
    energy: list[int] = field(default_factory=lambda: [0] * 4)
    carbon: int = 0
    tasks: int = 0
    moved: int = 0

    def pass_time(self, begin_us: int, end_us: int) -> None:
        """Count the time in between, in which nothing has changed."""
        elapsed = end_us - begin_us
        watts, energy = self.watts, self.energy
        for phase in range(4):
            energy[phase] += watts[phase] * elapsed
        intensity = self.intensity
        if intensity is not None and not intensity.is_constant:
            self.carbon += sum(watts) * (intensity.until(end_us) - intensity.until(begin_us))

    def add(self, phase: int, picojoules: int, now_us: int) -> None:
        """Count energy that is used at one instant."""
        self.energy[phase] += picojoules
        if self.intensity is not None and not self.intensity.is_constant:
            self.carbon += picojoules * self.intensity.at(now_us)

    @property
    def carbon_so_far(self) -> int:
        """The carbon of all that was used (see `PER_GRAM`); 0 if it is not counted."""
        if self.intensity is not None and self.intensity.is_constant:
            return self.intensity.steps[0] * sum(self.energy)
        return self.carbon
