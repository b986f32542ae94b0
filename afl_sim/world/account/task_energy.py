"""The energy of one task, which its client spends in one phase after another."""

from __future__ import annotations

from typing import Final

from afl_sim.world.account.devices import PICO, Use
from afl_sim.world.account.part import COMPUTE, UPLOAD, PartAccount

NO_PHASE: Final = 3
"""Of a task that waits at its client, or is no longer there."""


class TaskEnergy:
    """What a task has used so far, and the phase that its client is in for it.

    Args:
        part: the account of the client's part of the fleet, which counts the same energy.
        use: what the client's device uses.

    Attributes:
        phase: DOWNLOAD, COMPUTE or UPLOAD; `NO_PHASE` while it takes no power.
        since_us: when it began (microseconds).
        spent: picojoules; of a phase under way none yet.
        samples: those whose energy is counted.
    """

    __slots__ = ("part", "phase", "samples", "since_us", "spent", "use")

    def __init__(self, part: PartAccount, use: Use) -> None:
        self.part = part
        self.use = use
        self.phase = NO_PHASE
        self.since_us = 0
        self.spent = 0
        self.samples = 0

    def enter(self, phase: int, now_us: int) -> None:
        """Go on to another phase."""
        watts, own, before = self.part.watts, self.use.watts, self.phase
        if before != NO_PHASE:
            watts[before] -= own[before]
            self.spent += own[before] * (now_us - self.since_us)
        if phase != NO_PHASE:
            watts[phase] += own[phase]
        self.phase = phase
        self.since_us = now_us

    def add(self, phase: int, joules: float, now_us: int) -> None:
        """Use energy at one instant."""
        if joules:
            picojoules = round(joules * PICO)
            self.spent += picojoules
            self.part.add(phase, picojoules, now_us)

    def trained(self, samples: int, now_us: int) -> None:
        """The task has been trained on so many samples by now."""
        new = samples - self.samples
        self.samples = samples
        self.add(COMPUTE, self.use.per_sample * new, now_us)

    def uploaded(self, size: int, now_us: int) -> None:
        """The client has uploaded so many bytes."""
        self.part.moved += size
        self.add(UPLOAD, self.use.per_byte[1] * size, now_us)
