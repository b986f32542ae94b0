"""The carbon intensity of electricity, and its integral over time."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

MICROGRAMS: Final = 1_000_000
"""In a gram: intensities are whole micrograms per kilowatt-hour."""

PER_GRAM: Final = 10**12 * 3_600_000 * MICROGRAMS
"""Picojoules times micrograms per kilowatt-hour, in a gram."""


@dataclass(frozen=True)
class Intensity:
    """A step function of time that repeats.

    Attributes:
        steps: its values, in micrograms of carbon dioxide per kilowatt-hour.
        step_us: how long each holds; of a single one it does not matter.
        offset_us: the time in the first turn at which a run begins.
    """

    steps: tuple[int, ...]
    step_us: int = 1
    offset_us: int = 0
    _sums: tuple[int, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", (0, *accumulate(self.steps)))

    @property
    def is_constant(self) -> bool:
        """Whether it is the same at all times."""
        return len(self.steps) == 1

    def at(self, time_us: int) -> int:
        """The intensity at an instant."""
        return self.steps[(self.offset_us + time_us) // self.step_us % len(self.steps)]

    def until(self, time_us: int) -> int:
        """The integral from 0 until an instant, in micrograms per kilowatt-hour x microseconds."""
        return self._integral(self.offset_us + time_us) - self._integral(self.offset_us)

    def _integral(self, time_us: int) -> int:
        """The integral over the time since the beginning of the first turn."""
        turns, left = divmod(time_us, self.step_us * len(self.steps))
        whole, rest = divmod(left, self.step_us)
        full = turns * self._sums[-1] + self._sums[whole]
        return full * self.step_us + (self.steps[whole] * rest if rest else 0)
