"""Runs that would never end are told from runs that only take long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from world_runs import run, scenario

from afl_sim.errors import ScheduleError
from afl_sim.world import standstill

Schedule = Iterator[Any]
EARLY = {"kind": "fedavg", "clients_per_round": 2, "deadline": 1.0}


@pytest.fixture(autouse=True)
def _low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "LIMIT", 2_000)


def one_by_one(server: Any) -> Schedule:
    server.dispatch_many(range(server.clients))
    while True:
        update = yield server.arrival()
        yield server.aggregate([update])
        server.dispatch(update.client)


@pytest.mark.parametrize("late", ["cancel", "discard"])
@pytest.mark.parametrize("stop", ["versions", "updates", "samples"])
def test_a_deadline_that_nobody_meets_is_an_error(late: str, stop: str) -> None:
    settings = scenario([3, 2, 2], strategy={**EARLY, "late": late}, stop={stop: 10})
    with pytest.raises(ScheduleError, match=r"0 versions: none of the last .* tasks .* deadline"):
        run(settings)


def test_a_deadline_that_nobody_meets_is_no_error_where_time_is_up_at_last() -> None:
    settings = scenario([3, 2, 2], strategy=EARLY, stop={"virtual_seconds": 3000})
    outcome = run(settings)
    assert outcome.ending.rule == "virtual_seconds"
    assert outcome.server.counts.cancelled > 2 * standstill.LIMIT


def test_rounds_that_come_to_nothing_are_no_error_where_others_do_not() -> None:
    # One task in two hundred is in time.
    often = {"kind": "fedavg", "clients_per_round": 1, "deadline": 1.0}
    slow = [[*([5.0] * 199), 0.5] * 12]
    settings = scenario(slow, strategy=often, stop={"versions": 12})
    outcome = run(settings)
    assert outcome.server.counts.cancelled == 199 * 12 > standstill.LIMIT + 100


@pytest.mark.parametrize("strategy", [None, "fedavg"])
def test_a_world_without_time_never_reaches_a_horizon(strategy: str | None) -> None:
    settings = scenario([0, 0, 0], stop={"virtual_seconds": 5})
    with pytest.raises(ScheduleError, match="virtual time stands still: everything takes no time"):
        run(settings, None if strategy else one_by_one)


@pytest.mark.parametrize("stop", ["versions", "updates"])
def test_a_world_without_time_may_reach_another_rule(stop: str) -> None:
    outcome = run(scenario([0, 0, 0], stop={stop: 6_000}), one_by_one)
    assert (outcome.ending.time_us, outcome.ending.rule) == (0, stop)


def test_much_may_happen_at_one_instant() -> None:
    settings = scenario(3_000, compute={"seconds_per_task": 1.0}, stop={"virtual_seconds": 2})
    outcome = run(settings, one_by_one)
    assert outcome.server.version == 3_000


def test_a_server_that_waits_while_nobody_has_a_task_is_an_error() -> None:
    def schedule(server: Any) -> Schedule:
        while True:
            yield server.sleep(1)

    with pytest.raises(ScheduleError, match="goes on waiting, but nobody has a task"):
        run(scenario([1], stop={"versions": 1}), schedule)


def test_a_server_may_look_in_as_often_as_it_likes_while_somebody_works() -> None:
    def schedule(server: Any) -> Schedule:
        update = server.dispatch(0)
        while not server.arrivals():
            yield server.sleep(0.01)
        yield server.aggregate([update])

    outcome = run(scenario([200], stop={"versions": 1}), schedule)
    assert outcome.server.version == 1


@pytest.mark.parametrize(
    "strategy",
    [
        {"kind": "fedavg", "clients_per_round": 2},  # waits until somebody is idle and there
        {"kind": "fedasync", "concurrency": 2},  # has tasks that wait for their clients
    ],
    ids=lambda block: block["kind"],
)
def test_a_long_night_is_no_standstill(strategy: dict[str, Any]) -> None:
    day = {"kind": "diurnal", "period": 20_000, "share": 0.25, "phase": 0, "on_leave": "lost"}
    settings = scenario(
        [1000] * 3,
        strategy=strategy,
        fleet={"availability": day},
        evaluation={"every_seconds": 1},
        stop={"versions": 20},
    )
    outcome = run(settings)
    assert outcome.server.version == 20
    assert outcome.ending.time_us > 20_000 * 1_000_000


def test_clients_that_are_never_there_together_are_not_waited_for_for_ever() -> None:
    def schedule(server: Any) -> Schedule:
        yield server.sleep(0.5)
        yield server.wait_idle(2)

    # One is there in even seconds, the other in odd ones.
    turns = {
        "kind": "on_off",
        "on": {"values": [1, {"sequence": [1e-6, 0.9]}]},
        "off": {"values": [1, {"sequence": [1, 1.1]}]},
    }
    settings = scenario([1, 1], fleet={"availability": turns}, stop={"versions": 1})
    with pytest.raises(ScheduleError, match="goes on waiting, but nobody has a task"):
        run(settings, schedule)


WITHOUT_THE_FIRST = {"kind": "always", "leaves": {"values": [5, 1e9]}}


@pytest.mark.parametrize("strategy", ["malenia", "ringleader", "ia2sgd", "mifa"])
def test_waiting_for_a_client_that_has_left_for_good_is_an_error(strategy: str) -> None:
    settings = scenario(
        [9, 2],
        strategy={"kind": strategy},
        fleet={"availability": WITHOUT_THE_FIRST},
        stop={"versions": 50},
    )
    with pytest.raises(ScheduleError, match=r"updates that arrived was used: .* left for good"):
        run(settings)
    timed = scenario(
        [9, 2],
        strategy={"kind": strategy},
        fleet={"availability": WITHOUT_THE_FIRST},
        stop={"versions": 50, "virtual_seconds": 5000},
    )
    outcome = run(timed)
    assert outcome.server.counts.buffered > standstill.LIMIT


def test_a_large_batch_of_updates_is_no_standstill() -> None:
    settings = scenario(
        [1, 1], strategy={"kind": "rennala", "batch_size": 2000}, stop={"versions": 5}
    )
    assert run(settings).server.version == 5
