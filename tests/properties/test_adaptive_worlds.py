"""Whatever the fleet and the controller, the server keeps to the settings in force."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from own_rules import Follows
from random_worlds import outcome_of, worlds

from afl_sim.run.summary import check_balance
from afl_sim.scenario import Scenario

BUFFERED = ("fedbuff", "fadas", "ca2fl")
KINDS = (*BUFFERED, "fedasync", "fedfa")
ENDS = ("arrived", "failed", "cancelled")


def under(world: Scenario, controller: Any) -> Scenario:
    server = world.server.model_copy(update={"adaptive": controller})
    return world.model_copy(update={"server": server})


def settings_of(world: Scenario) -> dict[str, int]:
    strategy: Any = world.strategy
    found = {name: getattr(strategy, name) for name in strategy.adapts}
    return {name: world.clients.count if x == "all" else x for name, x in found.items()}


@settings(max_examples=60, deadline=None)
@given(world=worlds(KINDS), data=st.data())
def test_the_server_keeps_to_the_settings_in_force(world: Scenario, data: st.DataObject) -> None:
    sizes = st.lists(st.none() | st.integers(1, world.clients.count), max_size=12)
    in_force = settings_of(world)
    rule = Follows(
        every=data.draw(st.integers(1, 4)),
        **{name: tuple(data.draw(sizes)) for name in in_force},
    )
    outcome = outcome_of(under(world, rule))
    in_flight = 0
    used: Counter[int] = Counter()  # by version
    size = {}
    for row in outcome.events:
        if row.kind == "aggregated":
            context = json.loads(row.context or "")
            used[row.version] += 1
            size[row.version] = context.get("buffer_size")
            # An aggregation that takes time has the settings of its beginning.
            assert context.pop("began_us", None) is not None or context == in_force
        if row.kind == "adapted":
            in_force = json.loads(row.context or "")
        in_flight += (row.kind == "dispatched") - (row.kind in ENDS)
        if row.kind == "dispatched":
            assert in_flight <= in_force["concurrency"]
    assert world.strategy.kind not in BUFFERED or used == size
    check_balance(outcome.server.counts)


@settings(max_examples=40, deadline=None)
@given(world=worlds((*KINDS, "port", "area")))
def test_a_controller_that_changes_nothing_leaves_the_schedule_as_it_is(world: Scenario) -> None:
    constant = Follows(every=1)
    assert outcome_of(under(world, constant)).schedule_digest == outcome_of(world).schedule_digest
