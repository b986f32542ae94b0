"""Clients whose battery is low are away while it is charged."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from random_worlds import outcome_of, worlds
from redone_account import fleets_of, life, spans_of, tasks_of, watts_of, with_power
from world_runs import Outcome, run, scenario

from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.battery import Battery
from afl_sim.streams import Streams

ENDS = ("arrived", "cancelled", "failed")
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


POLLED = {"kind": "quafl", "clients_per_round": 1, "interaction_seconds": 10, "local_steps": 100}


@pytest.mark.parametrize(("way_s", "low_s"), [(0, 20.0), (0.5, 21.0)])
def test_a_client_whose_battery_a_poll_finds_low_has_its_next_task_once_it_is_charged(
    way_s: float, low_s: float
) -> None:
    charged = fleet(capacity=97, charging=47)
    world = scenario(
        [[1.0]], strategy=POLLED, fleet=charged, down=way_s, up=way_s, stop={"versions": 4}
    )
    story = run(world).story("dispatched", "downloaded", "arrived", "unavailable", "available")
    # A task computes for ten seconds: 40 J. The second leaves less than a fifth of 97 J.
    at = story.index((low_s, "unavailable", 0))
    assert story[at - 1] == (low_s, "arrived", 0)
    assert story[at + 1 : at + 4] == [
        (low_s + 47, "available", 0),
        (low_s + 47, "dispatched", 0),
        (low_s + 47 + way_s, "downloaded", 0),
    ]
    assert [row for row in story if row[1] == "dispatched"][2] == story[at + 2]


def test_another_client_is_polled_while_one_is_to_be_charged() -> None:
    polled = {**POLLED, "clients_per_round": 2}
    charged = {"power": {**POWER, "compute": 9}, "battery": {"capacity": 100, "charging": 50}}
    world = scenario(
        2,
        strategy=polled,
        compute={"seconds_per_task": 1},
        fleet={
            "groups": [
                {"name": "mains", "share": 0.5, "power": POWER},
                {"name": "phone", "share": 0.5, **charged},
            ]
        },
        up=25,
        stop={"versions": 3},
    )
    outcome = run(world)
    (phone,) = {event.client for event in outcome.of("unavailable")}
    sent = [event.time_us // 10**6 for event in outcome.of("dispatched") if event.client == phone]
    others = [event.time_us // 10**6 for event in outcome.of("dispatched") if event.client != phone]
    assert sent == [0, 85]  # polled at 10, uploaded at 35, charged at 85
    assert others == [0, 10, 45, 80]


def charged_when(world: Scenario, outcome: Outcome) -> list[int]:
    """After which rows of the log a client's battery is charged, by these rows alone."""
    streams, watts, found = Streams(world.seed), watts_of(world), []
    tasks = tasks_of(outcome)
    left: dict[int, Fraction] = {}  # microjoules above the level that is low
    idle_since: dict[int, int] = {}
    at_work: dict[int, int] = defaultdict(int)
    for row, event in enumerate(outcome.events):
        client = event.client
        if event.kind == "dispatched":
            battery = fleets_of(world)[client].battery
            assert battery is not None
            usable = 40 * 10**6 * (1 - Fraction(battery.low))
            if client not in left:
                level = battery.level.quantile(streams.uniform("battery.level", client), client)
                left[client] = 40 * 10**6 * (Fraction(level) - Fraction(battery.low))
                idle_since[client] = life(world, client, outcome.ending.time_us)[0]
            if not at_work[client]:
                idle_us = max(0, event.time_us - idle_since[client])
                left[client] -= watts["idle"][client] * idle_us
            at_work[client] += 1
        elif event.kind in ENDS:
            for phase, spans in spans_of(tasks[client, event.task], event.time_us).items():
                left[client] -= watts[phase][client] * sum(end - begin for begin, end in spans)
            at_work[client] -= 1
            if not at_work[client]:
                idle_since[client] = event.time_us
                if left[client] <= 0:
                    found.append(row)
                    left[client] = usable
                    idle_since[client] += 4 * 10**6
    return found


@settings(max_examples=40, deadline=None)
@given(worlds() | worlds(("quafl",)))
def test_no_task_begins_at_a_client_that_is_charged(world: Scenario) -> None:
    world = with_power(world, {"compute": 3, "download": 1, "upload": 2, "idle": 0.1})
    battery = Battery(capacity=40, charging=4, level={"dist": "uniform"})
    groups = tuple(group.model_copy(update={"battery": battery}) for group in world.clients.groups)
    clients = world.clients.model_copy(update={"battery": battery, "groups": groups})
    world = world.model_copy(update={"clients": clients})
    outcome = outcome_of(world)
    assert outcome_of(world).schedule_digest == outcome.schedule_digest
    low = charged_when(world, outcome)
    charged: dict[int, int] = {}
    at_work: dict[int, int] = defaultdict(int)
    logged = []
    for row, event in enumerate(outcome.events):
        if event.kind in ("dispatched", "downloaded", "computed"):
            assert event.time_us >= charged.get(event.client, 0)
        if event.kind == "dispatched":
            at_work[event.client] += 1
        elif event.kind in ENDS:
            at_work[event.client] -= 1
        elif event.kind == "unavailable" and not at_work[event.client]:
            logged.append((event.time_us, event.client))
        if row in low:
            charged[event.client] = event.time_us + 4_000_000
    found = [(outcome.events[row].time_us, outcome.events[row].client) for row in low]
    rules = [fleet.availability for fleet in fleets_of(world)]
    if all(rule.kind == "always" and rule.leaves is None for rule in rules):
        assert logged == found
    else:  # a client that has just left is not said to leave again
        assert set(logged) <= set(found)
