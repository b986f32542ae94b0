"""The ranking and its simultaneous intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from afl_sim.design.ranking import _dominates, _ratios, geometric_mean


def test_intervals_are_those_of_tukey_with_seeds_as_blocks() -> None:
    costs = [[10.0, 20.0, 40.0], [12.0, 23.0, 50.0], [30.0, 70.0, 110.0]]
    logs = np.log(costs)
    found = _ratios(costs)
    effects = logs - logs.mean(axis=1, keepdims=True) - logs.mean(axis=0) + logs.mean()
    spread = math.sqrt((effects**2).sum() / 4)
    half = 5.0402 * spread / math.sqrt(3)  # the tables' q(0.95; 3, 4)
    for row, ratio in zip(logs[1:], found[1:], strict=True):
        mean = row.mean() - logs[0].mean()
        assert math.log(ratio.mean) == pytest.approx(mean)
        assert math.log(ratio.low) == pytest.approx(mean - half, abs=1e-4)
        assert math.log(ratio.high) == pytest.approx(mean + half, abs=1e-4)
    assert found[1].low < 1 < found[1].high  # not told apart
    assert found[2].low > 1


def test_seeds_that_are_slow_for_all_do_not_widen_the_intervals() -> None:
    even = _ratios([[10.0, 10.1, 9.9], [20.0, 20.3, 19.7]])[1]
    odd = _ratios([[10.0, 101.0, 990.0], [20.0, 203.0, 1970.0]])[1]
    assert (odd.mean, odd.low) == pytest.approx((even.mean, even.low))


def test_intervals_hold_for_all_pairs_at_once() -> None:
    """Of designs of equal candidates about one in twenty tells any from the best."""
    draws = np.random.default_rng(4)
    told = 0
    for _ in range(400):
        costs = np.exp(draws.normal(size=(5, 4)) + draws.normal(size=4))
        ordered = costs[np.argsort(np.log(costs).sum(axis=1))]
        told += any(ratio.low > 1 for ratio in _ratios(ordered.tolist())[1:])
    assert told <= 32  # 20 are expected at most; 33 or more have a chance of 1 in 300


def test_one_seed_gives_no_interval() -> None:
    ratio = _ratios([[10.0], [12.0]])[1]
    assert ratio.mean == pytest.approx(1.2)
    assert not ratio.is_known


def test_a_front_is_of_what_nothing_dominates() -> None:
    assert _dominates((1, 2), (1, 3))
    assert not _dominates((1, 3), (1, 3))
    assert not _dominates((1, 4), (2, 3))


def test_the_mean_is_geometric_so_that_no_ratio_is_below_one() -> None:
    """The first has the least sum, but the second takes less time in the mean of ratios."""
    costs = [[10.0, 10.0, 10.0], [2.0, 2.0, 30.0]]
    assert [geometric_mean(row) for row in costs] == pytest.approx([10.0, 120 ** (1 / 3)])
    assert _ratios(costs[::-1])[1].mean == pytest.approx(10 / 120 ** (1 / 3))
    assert geometric_mean([10.0, None]) is None
