"""What is told of runs in which no more versions can come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from world_runs import run, scenario

from afl_sim.errors import ScheduleError
from afl_sim.strategies import strategies

Schedule = Iterator[Any]
WAITING = sorted(kind for kind, found in strategies().items() if found.waits_for_all)
AGAIN = ("malenia", "ringleader")
"""Of these, those that need every client for later versions, too."""
ONE_LEAVES = {"kind": "always", "leaves": {"values": [5, 1e9, 1e9]}}
ALL_LEAVE = {"kind": "always", "leaves": {"values": [9, 7, 5]}}
FIRST = "the server waits for an update of every client, but 1 of 3 clients will never send one: "
LATER = "the server waits for further updates, but 1 of 3 clients will never send one: "
LIMITS = {"versions": 50, "virtual_seconds": 900}


def told(
    strategy: Any, stop: dict[str, Any] = LIMITS, durations: Any = (9, 2, 2), **fleet: Any
) -> tuple[int, str, str | None]:
    """Versions, the stop rule, and the remark of a run."""
    outcome = run(scenario(list(durations), strategy=strategy, fleet=fleet, stop=stop))
    return outcome.server.version, outcome.ending.rule, outcome.ending.remark


@pytest.mark.parametrize("on_leave", ["lost", "paused", "partial"])
@pytest.mark.parametrize("kind", WAITING)
def test_a_client_that_left_before_its_first_update_is_named(kind: str, on_leave: str) -> None:
    leaves = {**ONE_LEAVES, "on_leave": on_leave}
    versions, rule, remark = told({"kind": kind}, availability=leaves)
    assert (versions, rule) == (0, "virtual_seconds")
    assert remark == f"no version was made: {FIRST}client 0 has left for good"


@pytest.mark.parametrize("kind", WAITING)
def test_without_an_end_it_is_an_error_and_soon(kind: str) -> None:
    with pytest.raises(ScheduleError, match=f"{FIRST}client 0 has left for good") as caught:
        told({"kind": kind}, {"versions": 50}, availability=ONE_LEAVES)
    after = float(str(caught.value).replace(" at ", " after ").split(" after ")[1].split()[0])
    assert after < 10_000  # seconds: of 200,000 updates without use it would be 100 times as many


@pytest.mark.parametrize("kind", WAITING)
def test_a_client_that_crashes_from_now_on_is_named(kind: str) -> None:
    # It comes when tasks crash already.
    late = {"kind": "always", "joins": {"values": [20, 0, 0]}}
    faults = {"crash": {"values": [1, 0, 0]}, "crash_from": 10}
    why = f"{FIRST}client 0 crashes in each of its tasks"
    versions, _, remark = told({"kind": kind}, availability=late, faults=faults)
    assert (versions, remark) == (0, f"no version was made: {why}")
    with pytest.raises(ScheduleError, match=why):
        told({"kind": kind}, {"versions": 50}, availability=late, faults=faults)


@pytest.mark.parametrize("kind", WAITING)
def test_a_client_that_sent_one_update_and_left_is_named_where_more_are_needed(kind: str) -> None:
    leaves = {**ONE_LEAVES, "on_leave": "finish"}
    versions, rule, remark = told({"kind": kind}, availability=leaves)
    if kind not in AGAIN:
        assert (versions, rule, remark) == (50, "versions", None)
        return
    assert 0 < versions < 50
    # After the table's first step Ringleader makes one with each of the others' next gradients.
    last = {"malenia": 9, "ringleader": 10}[kind]
    assert remark == f"no version after {last} s: {LATER}client 0 has left for good"
    with pytest.raises(ScheduleError, match=f"{LATER}client 0 has left for good"):
        told({"kind": kind}, {"versions": 50}, availability=leaves)


def test_a_client_that_leaves_later_is_named_while_a_slow_one_still_computes() -> None:
    # Client 0 leaves in its second task; client 1 takes days for its second.
    world: dict[str, Any] = {
        "clients": ([2, 9], [2, 1e6], [2]),
        "strategy": "malenia",
        "fleet": {"availability": ONE_LEAVES},
    }
    named = f"{LATER}client 0 has left for good"
    timed = run(scenario(**world, stop={"virtual_seconds": 900}))
    assert timed.ending.remark == f"no version after 2 s: {named}"
    assert run(scenario(**world, stop={"virtual_seconds": 4})).ending.remark is None
    with pytest.raises(ScheduleError, match=named) as caught:
        run(scenario(**world, stop={"versions": 50}))
    assert float(str(caught.value).split(" after ")[1].split()[0]) < 1e5


@pytest.mark.parametrize("kind", WAITING)
def test_nothing_is_said_of_a_client_that_will_be_back(kind: str) -> None:
    late = {"kind": "always", "joins": {"values": [880, 0, 0]}}
    stop = {"versions": 500, "virtual_seconds": 900}
    versions, rule, remark = told({"kind": kind}, stop, availability=late)
    assert versions > 0
    assert (rule, remark) == ("virtual_seconds", None)


@pytest.mark.parametrize(
    "strategy",
    [
        {"kind": "fedavg", "clients_per_round": 2},
        {"kind": "safa", "clients_per_round": 2},
        {"kind": "tifl", "tiers": 2, "clients_per_round": 1},
        {"kind": "flanp", "initial_clients": 3},
        {"kind": "fedbuff", "concurrency": 2, "buffer_size": 2},
        {"kind": "fedasync", "concurrency": 2},
        {"kind": "rennala", "batch_size": 2},
        {"kind": "fedfix", "interval": 3},  # goes on to look in at nobody
        {"kind": "ia2sgd"},
    ],
    ids=lambda block: block["kind"],
)
def test_a_fleet_that_has_left_is_told_of(strategy: dict[str, Any]) -> None:
    stop = {"virtual_seconds": 900}
    _, rule, remark = told(strategy, stop, (1, 1, 1), availability=ALL_LEAVE)
    assert rule == "virtual_seconds"
    assert remark is not None
    assert remark.startswith("no version after ")
    assert remark.endswith(" s: no idle client will ever be there again")


def test_a_run_that_is_too_short_for_a_version_says_what_became_of_its_tasks() -> None:
    fedbuff = {"kind": "fedbuff", "concurrency": 3, "buffer_size": 9}
    assert told(fedbuff, {"virtual_seconds": 5}, (9, 2, 2))[2] == (
        "no version was made: of 7 tasks 0 were lost, cancelled or discarded, 4 arrived and were "
        "not used, and 3 are under way"
    )


def test_nothing_is_said_of_a_run_that_could_have_gone_on() -> None:
    fedbuff = {"kind": "fedbuff", "concurrency": 3, "buffer_size": 2}
    assert told(fedbuff, {"virtual_seconds": 5}, (9, 2, 2)) == (2, "virtual_seconds", None)


def test_a_schedule_that_ends_before_the_time_is_up_is_told_of() -> None:
    def once(server: Any) -> Schedule:
        update = server.dispatch(0)
        yield server.wait([update])
        yield server.aggregate([update])

    outcome = run(scenario([3, 1], evaluation={"every_seconds": 2}), once)
    assert outcome.ending.remark == (
        "no version after 3 s: no task is in flight, and nothing that the server waits for can "
        "happen"
    )
