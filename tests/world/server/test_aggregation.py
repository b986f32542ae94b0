"""Versions, staleness, the time that an aggregation takes, evaluations, and the rules that stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from world_runs import SECOND, Event, run, scenario

from afl_sim.errors import ScheduleError

Schedule = Iterator[Any]


def one_by_one(server: Any) -> Schedule:
    """Every client works all the time; each arrival makes a version."""
    server.dispatch_many(range(server.clients))
    while True:
        update = yield server.arrival()
        yield server.aggregate([update])
        server.dispatch(update.client)


def in_pairs(server: Any) -> Schedule:
    """The same, two arrivals to a version."""
    server.dispatch_many(range(server.clients))
    while True:
        pair = []
        for _ in range(2):
            pair.append((yield server.arrival()))
        yield server.aggregate(pair)
        server.dispatch_many(update.client for update in pair)


def versions(events: list[Event]) -> list[tuple[float, int, int, int]]:
    return [(e.time_us / SECOND, e.client, e.version, e.staleness) for e in events]


# -- aggregate -----------------------------------------------------------------------------------


def test_staleness_counts_the_versions_made_since_the_download() -> None:
    outcome = run(scenario([5, 2], stop={"versions": 4}), one_by_one)
    assert versions(outcome.of("aggregated")) == [
        (2, 1, 1, 0),
        (4, 1, 2, 0),
        (5, 0, 3, 2),
        (6, 1, 4, 1),
    ]
    assert {e.staleness for e in outcome.events if e.kind != "aggregated"} == {-1}
    for event in outcome.of("aggregated"):
        assert event.staleness == event.version - 1 - event.base_version


def test_a_batch_is_logged_in_order_of_arrival_and_makes_one_version() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1, 2])
        yield server.wait(tasks)
        yield server.aggregate(reversed(tasks))
        assert server.version == 1

    outcome = run(scenario([3, 1, 2]), schedule)
    assert versions(outcome.of("aggregated")) == [(3, 1, 1, 0), (3, 2, 1, 0), (3, 0, 1, 0)]


def test_an_aggregation_of_nothing_makes_no_version() -> None:
    def schedule(server: Any) -> Schedule:
        yield server.aggregate([])
        assert (server.version, server.now) == (0, 0)

    settings = scenario([1], server={"aggregation_seconds": 5}, stop={"virtual_seconds": 9})
    assert run(settings, schedule).of("aggregated") == []


def test_a_version_is_made_when_the_aggregation_ends() -> None:
    def schedule(server: Any) -> Schedule:
        first, _ = server.dispatch_many([0, 1])
        yield server.wait([first])
        done = server.aggregate([first])
        assert (server.version, server.now) == (0, 1)
        late = server.dispatch(0)  # sent while the server is aggregating: the old model
        yield done
        assert (server.version, server.now) == (1, 3)
        assert late.base_version == 0

    outcome = run(scenario([1, 2], server={"aggregation_seconds": 2}), schedule)
    assert versions(outcome.of("aggregated")) == [(3, 0, 1, 0)]
    assert [event.version for event in outcome.of("arrived")] == [0, 0, 0]


def test_the_time_of_an_aggregation_is_drawn_for_its_version() -> None:
    law = {"sequence": [2, 0.5, 1]}
    settings = scenario([1], server={"aggregation_seconds": law}, stop={"versions": 3})
    outcome = run(settings, one_by_one)
    assert [event.time_us / SECOND for event in outcome.of("aggregated")] == [3, 4.5, 6.5]


def test_aggregations_that_overlap_have_a_duration_each() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1])
        yield server.wait(tasks)
        for task in tasks:
            server.aggregate([task])
        yield server.sleep(9)

    law = {"sequence": [5, 2]}
    outcome = run(scenario([1, 1], server={"aggregation_seconds": law}), schedule)
    assert versions(outcome.of("aggregated")) == [(3, 1, 1, 0), (6, 0, 2, 1)]


def test_what_is_due_when_an_aggregation_ends_comes_before_the_version() -> None:
    # The server aggregates from 2 to 4; at 3 begin an upload and the time to the next evaluation.
    settings = scenario(
        [1, 3],
        up=1,
        server={"aggregation_seconds": 2},
        stop={"versions": 1},
        evaluation={"every_seconds": 1},
    )
    outcome = run(settings, one_by_one)
    at_the_end = [event for event in outcome.events if event.time_us == 4 * SECOND]
    assert [(event.kind, event.version) for event in at_the_end] == [
        ("arrived", 0),
        ("evaluated", 0),
        ("aggregated", 1),
        ("evaluated", 1),
    ]


def test_only_what_is_at_the_server_can_be_aggregated() -> None:
    def in_flight(server: Any) -> Schedule:
        yield server.aggregate(server.dispatch_many([0]))

    def discarded(server: Any) -> Schedule:
        update = server.dispatch(0)
        yield server.arrival()
        server.discard(update)
        yield server.aggregate([update])

    for schedule in (in_flight, discarded):
        with pytest.raises(ScheduleError, match="cannot be aggregated: it is not at the server"):
            run(scenario([1]), schedule)


def test_an_update_that_is_used_again_counts_once() -> None:
    def schedule(server: Any) -> Schedule:
        update = yield server.wait(server.dispatch_many([0]))
        yield server.aggregate(update)
        yield server.aggregate(update)
        assert server.version == 2

    outcome = run(scenario([1]), schedule)
    assert versions(outcome.of("aggregated")) == [(1, 0, 1, 0)]
    assert outcome.server.counts.aggregated == 1


def test_an_update_aggregated_out_of_the_inbox_is_taken() -> None:
    def schedule(server: Any) -> Schedule:
        update = server.dispatch(0)
        yield server.sleep(2)
        yield server.aggregate([update])
        assert server.idle == 1
        assert server.arrivals() == []
        server.dispatch(0)

    run(scenario([1]), schedule)


def test_a_context_is_logged_with_its_updates() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1])
        yield server.wait(tasks)
        yield server.aggregate(tasks[:1], tier=2, among=[1, 0])
        yield server.aggregate(tasks[1:])

    outcome = run(scenario([1, 1]), schedule)
    assert [e.context for e in outcome.of("aggregated")] == ['{"among": [1, 0], "tier": 2}', None]


def test_a_number_of_a_context_that_is_not_finite_is_null_in_the_log() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0])
        yield server.wait(tasks)
        yield server.aggregate(tasks, pace=float("nan"), tiers=[1, {"far": float("inf")}])

    (logged,) = run(scenario([1]), schedule).of("aggregated")
    assert logged.context == '{"pace": null, "tiers": [1, {"far": null}]}'


def test_results_are_read_only_by_a_schedule_that_declares_it() -> None:
    def schedule(server: Any) -> Schedule:
        server.result((yield from wait_for_one(server)))

    def wait_for_one(server: Any) -> Schedule:
        server.dispatch(0)
        return (yield server.arrival())

    with pytest.raises(ScheduleError, match="must declare reads_results"):
        run(scenario([1]), schedule)


# -- time ----------------------------------------------------------------------------------------


def test_a_sleeper_wakes_after_everything_due_at_that_instant() -> None:
    def schedule(server: Any) -> Schedule:
        server.spawn(sleeper(server))
        update = server.dispatch(0)
        yield server.arrival()
        yield server.aggregate([update])
        seen.append("aggregated")
        yield server.sleep(1)

    def sleeper(server: Any) -> Schedule:
        yield server.sleep(1)
        seen.append(("slept", server.version))

    seen: list[Any] = []
    run(scenario([1]), schedule)
    assert seen == ["aggregated", ("slept", 1)]


def test_sleeping_no_time_is_no_event() -> None:
    def schedule(server: Any) -> Schedule:
        server.spawn(other(server))
        yield server.sleep(0)
        order.append("first")
        yield server.sleep(1)

    def other(server: Any) -> Schedule:
        order.append("second")
        yield server.sleep(0)

    order: list[str] = []
    run(scenario([1]), schedule)
    assert order == ["first", "second"]


def test_processes_run_beside_each_other_and_can_be_waited_for() -> None:
    def ticking(server: Any, seconds: float, ticks: int) -> Schedule:
        for _ in range(ticks):
            yield server.sleep(seconds)
            ticked.append((server.now, seconds))
        return ticks

    def schedule(server: Any) -> Schedule:
        slow = server.spawn(ticking(server, 3, 2))
        server.spawn(ticking(server, 2, 2))
        assert (yield slow) == 2
        assert server.now == 6

    ticked: list[tuple[float, float]] = []
    run(scenario([1]), schedule)
    assert ticked == [(2, 2), (3, 3), (4, 2), (6, 3)]


def test_a_strategy_s_own_draws_are_addressed() -> None:
    from afl_sim.streams import Streams

    def schedule(server: Any) -> Schedule:
        assert server.uniform("tier", 3, 1) == Streams(5).uniform("strategy.tier", 3, 1)
        yield server.sleep(1)

    run(scenario([1], seed=5), schedule)


# -- evaluations ---------------------------------------------------------------------------------


def evaluated(events: list[Event]) -> list[tuple[float, int]]:
    return [(e.time_us / SECOND, e.version) for e in events if e.kind == "evaluated"]


def test_a_run_is_evaluated_at_its_start_and_at_its_end() -> None:
    outcome = run(scenario([1], stop={"virtual_seconds": 2.5}), one_by_one)
    assert evaluated(outcome.events) == [(0, 0), (2.5, 2)]
    assert outcome.events[0].kind == outcome.events[-1].kind == "evaluated"


def test_evaluations_every_few_versions_and_none_twice() -> None:
    settings = scenario([1], stop={"versions": 4}, evaluation={"every_versions": 2})
    assert evaluated(run(settings, one_by_one).events) == [(0, 0), (2, 2), (4, 4)]


def test_an_evaluation_that_is_due_comes_before_an_aggregation() -> None:
    settings = scenario([2], stop={"versions": 2}, evaluation={"every_seconds": 2})
    assert evaluated(run(settings, one_by_one).events) == [(0, 0), (2, 0), (4, 1), (4, 2)]


# -- stop rules ----------------------------------------------------------------------------------


def test_a_run_ends_inside_the_aggregation_that_makes_enough_versions() -> None:
    outcome = run(scenario([1, 1, 1], stop={"versions": 2}), in_pairs)
    assert (outcome.ending.time_us, outcome.ending.rule) == (2 * SECOND, "versions")
    assert outcome.server.version == 2
    assert [event.kind for event in outcome.events[-3:]] == ["aggregated"] * 2 + ["evaluated"]


def test_updates_overshoot_by_less_than_a_batch() -> None:
    outcome = run(scenario([1, 1, 1], stop={"updates": 3}), in_pairs)
    assert (outcome.server.counts.aggregated, outcome.ending.rule) == (4, "updates")
    assert outcome.events[-2].kind == "aggregated"
    exact = run(scenario([1, 1, 1], stop={"updates": 4}), in_pairs)
    assert exact.events == outcome.events


def test_samples_are_those_of_aggregated_updates() -> None:
    def size(client: int) -> int:
        return 10 * (client + 1)

    settings = scenario([2, 1], stop={"samples": 50})
    outcome = run(settings, one_by_one, samples_of=size)  # 20 at 1, then 10 and 20 at 2
    assert (outcome.server.counts.samples, outcome.ending.rule) == (50, "samples")
    assert outcome.ending.time_us == 2 * SECOND


def test_the_horizon_is_half_open() -> None:
    outcome = run(scenario([1], stop={"virtual_seconds": 2}), one_by_one)
    assert (outcome.ending.time_us, outcome.ending.rule) == (2 * SECOND, "virtual_seconds")
    assert outcome.story("arrived") == [(1, "arrived", 0)]
    later = run(scenario([1], stop={"virtual_seconds": 2.000001}), one_by_one)
    assert later.story("arrived") == [(1, "arrived", 0), (2, "arrived", 0)]


def test_the_first_rule_that_is_reached_ends_the_run() -> None:
    stop = {"virtual_seconds": 9, "versions": 5, "updates": 7, "samples": 1000}
    for rule, limit in {"virtual_seconds": 1.5, "versions": 1, "updates": 2, "samples": 3}.items():
        outcome = run(scenario([1, 1], stop={**stop, rule: limit}), in_pairs)
        assert outcome.ending.rule == rule


def test_no_other_process_goes_on_after_the_end() -> None:
    def schedule(server: Any) -> Schedule:
        for client in range(3):
            server.spawn(round_of(server, client))
        yield server.sleep(5)

    def round_of(server: Any, client: int) -> Schedule:
        while True:
            yield server.aggregate((yield server.wait([server.dispatch(client)])))

    outcome = run(scenario([1, 1, 1], stop={"versions": 2}), schedule)
    assert [(event.kind, event.client) for event in outcome.events[-5:]] == [
        ("aggregated", 0),
        ("dispatched", 0),
        ("downloaded", 0),
        ("aggregated", 1),
        ("evaluated", -1),
    ]


def test_a_run_stops_in_an_aggregation_that_takes_time() -> None:
    settings = scenario([1, 1], server={"aggregation_seconds": 3}, stop={"versions": 1})
    outcome = run(settings, one_by_one)
    assert (outcome.ending.time_us, outcome.ending.rule) == (4 * SECOND, "versions")
    assert [event.kind for event in outcome.events[-2:]] == ["aggregated", "evaluated"]


# -- evaluations that take time ------------------------------------------------------------------


@pytest.mark.parametrize("aggregation", [0, 0.5])
def test_a_server_may_be_busy_with_the_evaluation_of_a_version(aggregation: float) -> None:
    resumed = []

    def schedule(server: Any) -> Schedule:
        for _ in range(4):
            server.dispatch(0)
            yield server.aggregate([(yield server.arrival())])
            resumed.append(server.now)

    settings = scenario(
        [1],
        server={"aggregation_seconds": aggregation},
        evaluation={"every_versions": 2, "seconds": {"sequence": [9, 9, 3, 9, 5]}},
    )
    outcome = run(settings, schedule)
    a = aggregation
    made = [1 + a, 2 + 2 * a, 6 + 3 * a, 7 + 4 * a]  # 3 s after version 2, 5 s after version 4
    assert [event.time_us / SECOND for event in outcome.of("aggregated")] == made
    assert resumed == [made[0], made[1] + 3, made[2], made[3] + 5]
    tested = [(event.time_us / SECOND, event.version) for event in outcome.of("evaluated")]
    assert tested[1:3] == [(made[1], 2), (made[3], 4)]


def test_evaluations_by_the_clock_take_the_server_no_time() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0)
        yield server.aggregate([(yield server.arrival())])
        assert server.now == 3

    run(scenario([3], evaluation={"every_seconds": 1, "seconds": 7}), schedule)
