"""Python searches for circles of objects seldom while a schedule is computed without numbers."""

from __future__ import annotations

import gc

from places import SMALLEST

from afl_sim import load_scenario, simulate
from afl_sim.run.searches import FewerSearches

USUAL = gc.get_threshold()


def during(timing_only: bool) -> set[int]:
    """How many new objects there are between two searches, at each version of a run."""
    found = set()
    scenario = load_scenario(SMALLEST)
    simulate(
        scenario,
        timing_only=timing_only,
        progress=lambda _: found.add(gc.get_threshold()[0]),
    )
    assert gc.get_threshold() == USUAL
    return found


def test_a_run_without_numbers_searches_seldom_and_then_as_before() -> None:
    assert during(timing_only=True) == {100_000}


def test_a_run_with_numbers_searches_as_before_from_its_first_version_on() -> None:
    found = during(timing_only=False)
    assert USUAL[0] in found


def test_runs_in_two_threads_bring_back_what_there_was_before_both() -> None:
    one, other = FewerSearches(), FewerSearches()
    one.__enter__()
    other.__enter__()
    one.end()
    assert gc.get_threshold()[0] == 100_000
    other.end()
    assert gc.get_threshold() == USUAL


def test_searches_that_are_switched_off_stay_off() -> None:
    gc.set_threshold(0)
    try:
        with FewerSearches():
            assert gc.get_threshold()[0] == 0
        assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*USUAL)
