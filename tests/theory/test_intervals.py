"""The yardstick itself: coverage, power, and the count of comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from comparisons import COMPARISONS, FALSE_ALARM, REPLICATIONS, Comparisons, interval


def test_an_interval_covers_as_often_as_its_level_says() -> None:
    draws = np.random.default_rng(1).normal(3.0, 2.0, size=(4000, REPLICATIONS))
    covered = np.mean([3.0 in interval(row, level=0.9) for row in draws])
    assert abs(covered - 0.9) < 0.025  # five standard errors


def test_an_interval_by_hand() -> None:
    # Mean 2, s = 1, t(0.975, 2) = 4.302653:  4.302653 / sqrt(3) = 2.484138
    found = interval([1, 2, 3], level=0.95)
    assert found.mean == 2
    assert found.half_width == pytest.approx(2.484138, abs=1e-5)


def test_the_level_shares_the_false_alarm_rate_out() -> None:
    sample = np.arange(REPLICATIONS)
    assert interval(sample) == interval(sample, level=1 - FALSE_ALARM / COMPARISONS)


def test_a_wrong_value_fails_and_so_does_an_interval_without_power() -> None:
    sample = np.random.default_rng(2).normal(1.0, 0.01, size=REPLICATIONS)
    compare = Comparisons()
    compare.mean(sample, 1.0, mistakes=[1.1])
    with pytest.raises(AssertionError, match=r"the oracle says 1\.1"):
        compare.mean(sample, 1.1, mistakes=[])
    with pytest.raises(AssertionError, match="too wide"):
        compare.mean(sample, 1.0, mistakes=[1.001])
    assert compare.made == 3
