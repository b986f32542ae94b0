"""Rounds and seconds to an accuracy, and differences between settings, by seed."""

from __future__ import annotations

import pytest
from curves import curve

from afl_sim.analysis.papers.reaching import by_setting, paired_differences, rounds_to, seconds_to


def test_a_crossing_lies_between_the_evaluations_around_it() -> None:
    # From 0.90 at round 1 to 0.98 at round 2, 0.97 is seven eighths of the way.
    assert rounds_to(0.97)(curve("a", [0.1, 0.90, 0.98])) == pytest.approx(1.875)
    assert rounds_to(0.97)(curve("a", [0.1, 0.90, 0.98], every=10)) == pytest.approx(18.75)


def test_a_crossing_is_that_of_the_best_so_far() -> None:
    # The envelope is 0.1, 0.96, 0.96, 0.98: the dip to 0.5 does not make the last step steeper.
    assert rounds_to(0.97)(curve("a", [0.1, 0.96, 0.5, 0.98])) == pytest.approx(2.5)


def test_a_target_met_exactly_is_met_there_and_one_not_met_never() -> None:
    assert rounds_to(0.97)(curve("a", [0.1, 0.97, 0.99])) == pytest.approx(1.0)
    assert rounds_to(0.97)(curve("a", [0.98])) == 0.0
    assert rounds_to(0.97)(curve("a", [0.1, 0.96, 0.969])) is None


def test_settings_are_told_by_their_label_and_hold_their_replications() -> None:
    runs = [curve("slow-0.5-r0", [0.1]), curve("slow-0.5-r1", [0.1], seed=2), curve("fast", [0.1])]
    found = by_setting(runs)
    assert list(found) == ["slow-0.5", "fast"]
    assert [run.scenario["seed"] for run in found["slow-0.5"]] == [1, 2]


def test_differences_are_taken_between_runs_of_one_seed() -> None:
    slow = [curve("slow-r0", [0.1, 0.2, 0.9], seed=7), curve("slow-r1", [0.1, 0.9], seed=8)]
    fast = [curve("fast-r0", [0.1, 0.9], seed=8), curve("fast-r1", [0.9], seed=7)]
    # Seed 7: 2 s less 0 s; seed 8: 1 s less 1 s. By position it would be 2 - 1 and 1 - 0.
    assert paired_differences(slow, fast, seconds_to(0.9)) == [2.0, 0.0]


def test_a_pair_of_which_one_did_not_arrive_has_no_difference() -> None:
    one, other = [curve("a", [0.1, 0.9])], [curve("b", [0.1, 0.2])]
    assert paired_differences(one, other, seconds_to(0.9)) == [None]
    assert paired_differences(one, [curve("b", [0.9], seed=2)], seconds_to(0.9)) == []
