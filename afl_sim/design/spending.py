"""What the training of a design may take, and has taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from afl_sim.design.schedule import NEVER
from afl_sim.design.screening import Entry
from afl_sim.scenario.sections.design import DEFAULT_SHARE, Budget


@dataclass
class Spent:
    """What the training has taken.

    Attributes:
        limit: samples that may be trained; None if wall time is limited.
        wall: wall seconds that may pass; None if samples are limited.
        samples: that were trained, for aggregated updates.
        began: the value of `time.monotonic` when the training began.
        before: wall seconds that it had taken before it was interrupted.
    """

    limit: float | None
    wall: float | None
    samples: int = 0
    began: float = 0.0
    before: float = 0.0

    @property
    def left(self) -> float:
        """Samples that may still be trained; by wall time, at the rate until now."""
        if self.limit is not None:
            return self.limit - self.samples
        if self.wall is None or not self.samples:
            return math.inf
        passed = self.before + monotonic() - self.began
        return max(0.0, self.wall - passed) * self.samples / max(passed, 1e-9)


def spent_of(budget: Budget, whole: float, before: float = 0.0) -> Spent:
    """What may be spent.

    Args:
        budget: as it is asked for.
        whole: samples that all candidates with all seeds take.
        before: wall seconds that were spent before.
    """
    if budget.wall_seconds is not None:
        return Spent(None, budget.wall_seconds, began=monotonic(), before=before)
    share = DEFAULT_SHARE if budget.share is None else budget.share
    limit = float(budget.samples) if budget.samples is not None else share * whole
    return Spent(limit, None, began=monotonic(), before=before)


def whole_samples(entries: Sequence[Entry], seeds: int) -> int:
    """The samples of all candidates with all seeds, each trained to its end."""
    return sum(samples_of(entry) for entry in entries) * seeds


def least_samples(entries: Sequence[Entry]) -> int:
    """The samples of a run to its end of the candidate that trains least."""
    return min(samples_of(entry) for entry in entries)


def samples_of(entry: Entry) -> int:
    """The samples of a candidate's run to its end; 0 if it has no schedule."""
    schedule = entry.schedule
    if schedule is None:
        return 0
    late = None if entry.late_us == NEVER else schedule.version_at(entry.late_us)
    return schedule.samples_until(late)
