"""Schedules that nobody meant to change have not changed."""

from __future__ import annotations

import pytest
from golden_schedules import STRATEGIES, facts, golden, scenario

from afl_sim.run.api import simulate
from afl_sim.strategies import strategies


def test_every_strategy_has_a_golden_schedule() -> None:
    assert set(golden()) == set(STRATEGIES) == set(strategies())


@pytest.mark.parametrize("kind", STRATEGIES)
def test_the_schedule_is_the_golden_one(kind: str) -> None:
    """Where the change is meant: python tests/support/golden_schedules.py"""
    assert facts(simulate(scenario(kind), timing_only=True)) == golden()[kind]
