"""Legs that are foreseen leave the log that they leave as events, ties and all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import parity_cases
import pytest
from event_loop import Faults
from hypothesis import given, settings
from hypothesis import strategies as st
from random_worlds import outcome_of, strategies
from world_runs import Outcome, run, scenario

from afl_sim.scenario import Scenario

KEPT = (
    "fedavg",
    "fedprox",
    "fedasync",
    "fedbuff",
    "ringmaster",
    "fedat",
    "port",
    "fedfa",
    "rennala",
)
"""They cancel, discard and recall tasks, use updates again, and make versions at any time."""


def assert_same(foreseen: Outcome, events: Outcome) -> None:
    assert foreseen.events == events.events
    assert foreseen.schedule_digest == events.schedule_digest
    assert foreseen.ending == events.ending
    assert foreseen.server.counts == events.server.counts


@st.composite
def calm_worlds(draw: st.DrawFn) -> Scenario:
    """Fleets to which nothing happens; some have many ties, some have none."""
    clients = draw(st.integers(1, 8))
    whole = st.sampled_from([0, 0.5, 1, 1, 2, 3])
    law: Any = draw(
        st.sampled_from(
            [
                1,
                {"dist": "expon"},
                {"dist": "randint", "low": 0, "high": 4},
                {"values": [{"sequence": [1 + i % 2, 2, 0, 3]} for i in range(clients)]},
                {"mixture": [{"weight": 1, "dist": 1}, {"weight": 1, "dist": "expon"}]},
            ]
        )
    )
    jitter = st.sampled_from([1, 1, 2, {"dist": "expon"}, {"dist": "randint", "low": 0, "high": 3}])
    links = [{"latency": draw(whole), "jitter": draw(jitter)} for _ in range(2)]
    return scenario(
        clients,
        strategy=draw(strategies(clients, KEPT)),
        compute={"seconds_per_task": draw(whole), "jitter_seconds": law},
        down=links[0],
        up=links[1],
        server={"aggregation_seconds": draw(st.sampled_from([0, 0, 0.5, {"dist": "expon"}]))},
        training={"steps": 4},
        evaluation=draw(st.sampled_from([{}, {"every_seconds": 1.5}, {"every_versions": 2}])),
        stop={"virtual_seconds": draw(st.sampled_from([7, 40])), "versions": 25},
        seed=draw(st.integers(0, 2**63 - 1)),
    )


@settings(max_examples=150, deadline=None)
@given(calm_worlds())
def test_a_calm_world_has_the_same_log(world: Scenario) -> None:
    assert_same(outcome_of(world), outcome_of(world, foresees=False))


@pytest.mark.parametrize("cases", ["synchronous", "immediate", "buffered", "restarting", "tiered"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_scripted_fleet_has_the_same_log(cases: str, data: st.DataObject) -> None:
    fleet, (block, _, _) = data.draw(getattr(parity_cases, cases)())
    fleet = replace(fleet, faults=Faults())
    assert_same(fleet.simulated(block), fleet.simulated(block, foresees=False))


def test_a_crowded_beginning_is_no_reason_to_foresee_nothing_afterwards() -> None:
    """All are downloaded at one instant, at which another update arrives."""
    world = scenario(
        6000,
        strategy={"kind": "fedbuff", "concurrency": 3000, "buffer_size": 100},
        compute={"seconds_per_task": 0, "jitter_seconds": {"dist": "expon"}},
        down=1,
        up={"latency": {"dist": "expon"}},
        stop={"updates": 30_000},
    )
    foreseen, events = run(world), run(world, foresees=False)
    assert_same(foreseen, events)
    entries, usual = (each.world._env.number for each in (foreseen, events))
    assert entries < 0.6 * usual
