"""Clients whose battery is low are away while it is charged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from random_worlds import outcome_of, worlds
from redone_account import with_power
from world_runs import run, scenario

from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.battery import Battery

POWER = {"compute": 4, "idle": 1}
ASYNC = {"kind": "fedasync", "concurrency": 1}


def fleet(**battery: Any) -> dict[str, Any]:
    return {"power": POWER, "battery": {"capacity": 100, "charging": 50, **battery}}


def test_a_client_is_away_from_when_its_battery_is_low_until_it_is_charged() -> None:
    world = scenario([[10.0]], strategy=ASYNC, fleet=fleet(), stop={"versions": 5})
    # 40 J a task, and 80 J of 100 J may be used: two tasks, and 50 s of charging.
    assert run(world).story("dispatched", "unavailable", "available") == [
        (0.0, "dispatched", 0),
        (10.0, "dispatched", 0),
        (20.0, "unavailable", 0),
        (70.0, "available", 0),
        (70.0, "dispatched", 0),
        (80.0, "dispatched", 0),
        (90.0, "unavailable", 0),
        (140.0, "available", 0),
        (140.0, "dispatched", 0),
    ]


def test_another_client_works_while_one_is_charged_and_idle_power_counts() -> None:
    world = scenario([[10.0], [10.0]], strategy=ASYNC, fleet=fleet(low=0.0), stop={"versions": 20})
    outcome = run(world)
    away: set[int] = set()
    for event in outcome.events:
        if event.kind == "unavailable":
            away.add(event.client)
        elif event.kind == "available":
            away.discard(event.client)
        elif event.kind == "dispatched":
            assert event.client not in away
    assert {event.client for event in outcome.of("dispatched")} == {0, 1}
    used = 0.0
    since = 0.0
    for event in outcome.events:  # of client 0, up to its first charging
        if event.client == 0 and event.kind == "dispatched":
            used += 1 * (event.time_us / 1e6 - since)
        elif event.client == 0 and event.kind == "arrived":
            used += 4 * 10
            since = event.time_us / 1e6
        elif event.client == 0 and event.kind == "unavailable":
            break
        if event.client == 0 and event.kind == "dispatched":
            assert used < 100 + 40  # below at every beginning, but for the idle time before it
    assert used >= 100


def test_the_level_at_the_start_may_be_anything() -> None:
    world = scenario([[10.0]], strategy=ASYNC, fleet=fleet(level=0.3), stop={"versions": 2})
    assert run(world).story("unavailable") == [(10.0, "unavailable", 0)]


def test_a_client_that_has_not_joined_uses_nothing_of_its_battery() -> None:
    late = {**fleet(), "availability": {"kind": "always", "joins": 50}}
    world = scenario([[10.0]], strategy=ASYNC, fleet=late, stop={"versions": 3})
    assert run(world).story("dispatched", "unavailable")[:3] == [
        (50.0, "dispatched", 0),
        (60.0, "dispatched", 0),
        (70.0, "unavailable", 0),
    ]


def test_a_battery_needs_something_that_uses_it_up() -> None:
    with pytest.raises(Exception, match="capacity"):
        scenario([[1.0]], fleet={"battery": {"charging": 1}})
    with pytest.raises(Exception, match="can be 0"):
        scenario([[1.0]], fleet=fleet(capacity=0))


POLLING = ("quafl", "favas")


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_no_task_begins_at_a_client_that_is_charged(world: Scenario) -> None:
    world = with_power(world, {"compute": 3, "download": 1, "upload": 2, "idle": 0.1})
    battery = Battery(capacity=40, charging=4, level={"dist": "uniform"})
    groups = tuple(group.model_copy(update={"battery": battery}) for group in world.clients.groups)
    clients = world.clients.model_copy(update={"battery": battery, "groups": groups})
    world = world.model_copy(update={"clients": clients})
    outcome = outcome_of(world)
    assert outcome_of(world).schedule_digest == outcome.schedule_digest
    charged: dict[int, int] = {}
    at_work: dict[int, int] = {}
    sent: dict[int, int] = {}
    for event in outcome.events:
        # A poll may leave a task for a client whose battery it has used up. The download is then
        # over as if nothing were; the work waits.
        begun = "computed" if world.strategy.kind in POLLING else "downloaded"
        if event.kind == begun and event.time_us > sent[event.client]:
            assert event.time_us >= charged.get(event.client, 0)
        elif event.kind == "dispatched":
            sent[event.client] = event.time_us
            at_work[event.client] = at_work.get(event.client, 0) + 1
        elif event.kind in ("arrived", "cancelled", "failed"):
            at_work[event.client] -= 1
        elif event.kind == "unavailable" and not at_work.get(event.client):
            charged[event.client] = event.time_us + 4_000_000
