"""Comparing with exact values in tests; `afl_sim.theory.intervals` says what the level means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from afl_sim.theory.intervals import COMPARISONS, FALSE_ALARM, REPLICATIONS, Interval, interval

__all__ = ["COMPARISONS", "FALSE_ALARM", "REPLICATIONS", "Comparisons", "Interval", "interval"]


class Comparisons:
    """Compares and counts, so that the suite's false-alarm rate is what is written there."""

    def __init__(self) -> None:
        self.made = 0

    def mean(
        self, values: npt.ArrayLike, exact: float, mistakes: Sequence[float], what: str = ""
    ) -> None:
        """The replications' mean is ``exact``, and none of what the ``mistakes`` would give.

        Args:
            values: one number for each replication.
            exact: the oracle's value.
            mistakes: values that plausible mistakes would give; none must be in the interval.
            what: names the quantity where a test compares several.
        """
        self.made += 1
        found = interval(values)
        assert exact in found, f"{what}: measured {found}, the oracle says {exact:.6g}"
        for mistake in mistakes:
            assert mistake not in found, f"{what}: {found} is too wide to exclude {mistake:.6g}"
