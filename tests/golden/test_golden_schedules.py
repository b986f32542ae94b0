"""Schedules that nobody meant to change have not changed."""

from __future__ import annotations

import pytest
from golden_schedules import COMMAND, STRATEGIES, facts, golden, scenario

from afl_sim import strategies
from afl_sim.simulation import simulate


def test_every_strategy_of_the_package_has_a_golden_schedule() -> None:
    own = {kind for kind, cls in strategies.strategies().items() if _is_own(cls)}
    assert set(STRATEGIES) == own
    assert set(golden()) == own, f"write the missing ones with: {COMMAND}"


def _is_own(cls: type) -> bool:
    """Not a plug-in, nor one that another test registered."""
    return cls.__module__.startswith("afl_sim.strategies.")


@pytest.mark.parametrize("kind", STRATEGIES)
def test_the_schedule_is_the_golden_one(kind: str) -> None:
    found, kept = facts(simulate(scenario(kind), timing_only=True)), golden()[kind]
    changed = {key: (kept[key], found[key]) for key in kept if kept[key] != found[key]}
    assert found == kept, (
        f"the schedule of {kind} changed; kept and found: {changed}. "
        f"Where that is meant, write the schedules anew with: {COMMAND}"
    )
