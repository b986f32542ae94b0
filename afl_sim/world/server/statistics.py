"""Counts that the summary of a run reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Counts:
    """What has happened to the tasks so far.

    Attributes:
        aggregated: updates used, each counted once at its first use.
        samples: training samples processed in aggregated updates.
        busy_us: client-microseconds from dispatch to the task's end, without the time in a queue.
        peak_in_flight: the most tasks that were in flight at once.
        staleness: how many aggregated updates had each staleness.
    """

    dispatched: int = 0
    arrived: int = 0
    aggregated: int = 0
    discarded: int = 0
    failed: int = 0
    cancelled: int = 0
    samples: int = 0
    busy_us: int = 0
    peak_in_flight: int = 0
    staleness: Counter[int] = field(default_factory=Counter)

    @property
    def in_flight(self) -> int:
        """Tasks dispatched that have neither arrived nor ended otherwise."""
        return self.dispatched - self.arrived - self.failed - self.cancelled

    @property
    def buffered(self) -> int:
        """Updates that arrived and were neither used nor discarded."""
        return self.arrived - self.aggregated - self.discarded

    def as_dict(self) -> dict[str, int]:
        """The summary's ``updates`` block."""
        return {
            "dispatched": self.dispatched,
            "arrived": self.arrived,
            "aggregated": self.aggregated,
            "discarded": self.discarded,
            "buffered": self.buffered,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "in_flight": self.in_flight,
        }
