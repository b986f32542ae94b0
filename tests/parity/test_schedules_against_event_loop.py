"""The engine's schedules equal an independent event loop's, row by row, ties included."""

from __future__ import annotations

from dataclasses import replace

import plain_schedules
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from parity_cases import (
    Fleet,
    Strategy,
    assert_equal,
    assert_steps,
    buffered,
    digest_rows,
    fleets,
    immediate,
    restarting,
    synchronous,
    tiered,
)
from world_runs import SECOND, scripted


@settings(max_examples=200, deadline=None)
@given(synchronous())
def test_fedavg_rounds(drawn: tuple[Fleet, Strategy]) -> None:
    assert_equal(*drawn)


@settings(max_examples=200, deadline=None)
@given(synchronous(), st.integers(1, 4))
def test_fedavg_rounds_that_keep_partial_work(drawn: tuple[Fleet, Strategy], steps: int) -> None:
    fleet, (block, schedule, arguments) = drawn
    assume(block["deadline"] is not None or block["over_selection"])
    outcome = fleet.simulated({**block, "partial": "keep"}, training={"steps": steps})
    loop = fleet.expected(schedule, *arguments, steps)
    assert digest_rows(outcome) == loop.rows
    assert_steps(outcome, loop)


@settings(max_examples=200, deadline=None)
@given(immediate())
def test_fedasync(drawn: tuple[Fleet, Strategy]) -> None:
    assert_equal(*drawn)


@settings(max_examples=200, deadline=None)
@given(buffered())
def test_fedbuff(drawn: tuple[Fleet, Strategy]) -> None:
    assert_equal(*drawn)


@settings(max_examples=200, deadline=None)
@given(restarting())
def test_ringmaster(drawn: tuple[Fleet, Strategy]) -> None:
    assert_equal(*drawn)


@settings(max_examples=200, deadline=None)
@given(tiered())
def test_fedat_tiers(drawn: tuple[Fleet, Strategy]) -> None:
    assert_equal(*drawn)


@pytest.mark.parametrize("unit", ["task", "step"])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_quafl_polls(unit: str, data: st.DataObject) -> None:
    fleet = data.draw(fleets(fastest=1))
    s = data.draw(st.integers(1, fleet.clients))
    limit = data.draw(st.integers(1, 4))
    waiting, interaction = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3))
    block = {"kind": "quafl", "clients_per_round": s, "local_steps": limit}
    block |= {"wait_seconds": waiting, "interaction_seconds": interaction}
    if unit == "task":
        outcome = fleet.simulated(block)
    else:
        each = scripted(fleet.seconds)["jitter_seconds"]
        compute = {"seconds_per_step": 1, "jitter": each, "jitter_per": "step"}
        outcome = fleet.simulated(block, compute)
        whole_tasks = [[limit * seconds for seconds in script] for script in fleet.seconds]
        fleet = replace(fleet, seconds=whole_tasks)
    loop = fleet.expected(plain_schedules.quafl, s, limit, (waiting + interaction) * SECOND)
    assert digest_rows(outcome) == loop.rows
    assert_steps(outcome, loop)
