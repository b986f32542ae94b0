"""A server that is down now and then: what reaches it meanwhile waits until it is up again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from world_runs import SECOND, run, scenario

from afl_sim.errors import ScheduleError
from afl_sim.streams import Streams

Schedule = Iterator[Any]


def world(durations: Any, every: Any, lasts: Any, **sections: Any) -> Any:
    """A server that is up and down for these seconds; lists go by the number of the pause."""
    laws = [x if isinstance(x, int | float) else {"sequence": x} for x in (every, lasts)]
    server = {"pauses": {"every": laws[0], "lasts": laws[1]}, **sections.pop("server", {})}
    return scenario(durations, server=server, **sections)


def test_what_reaches_a_server_that_is_down_arrives_when_it_is_up_in_the_same_order() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch_many([0, 1, 2, 3])
        for _ in range(4):
            yield server.arrival()

    outcome = run(world([5, 4, 9, 2], [3, 100], [4, 1]), schedule)
    assert outcome.story("paused", "resumed", "arrived")[:6] == [
        (2, "arrived", 3),
        (3, "paused", -1),
        (7, "resumed", -1),
        (7, "arrived", 1),
        (7, "arrived", 0),
        (9, "arrived", 2),
    ]


def test_a_server_that_is_down_wakes_when_it_is_up() -> None:
    seen = []

    def schedule(server: Any) -> Schedule:
        yield server.sleep(5)
        seen.append(server.now)
        arrived = yield server.wait(server.dispatch_many([0]), deadline=6)
        seen.append((server.now, len(arrived)))

    run(world([100], [3, 5, 100], [4, 2, 1]), schedule)  # down from 3 to 7 and from 12 to 14
    assert seen == [7, (14, 0)]


def test_an_aggregation_that_ends_while_the_server_is_down_ends_when_it_is_up() -> None:
    def schedule(server: Any) -> Schedule:
        yield server.aggregate((yield server.wait(server.dispatch_many([0]))))
        assert server.now == 7

    outcome = run(world([2], [3, 100], [4, 1], server={"aggregation_seconds": 2}), schedule)
    assert outcome.of("aggregated")[0].time_us == 7 * SECOND


def test_a_failure_is_heard_of_when_the_server_is_up() -> None:
    def schedule(server: Any) -> Schedule:
        assert (yield server.wait(server.dispatch_many([0]))) == []
        assert (server.now, server.idle) == (7, 1)

    availability = {"kind": "on_off", "on": 4, "off": 9}
    outcome = run(world([6], [3, 100], [4, 1], fleet={"availability": availability}), schedule)
    assert outcome.story("unavailable", "failed") == [(4, "unavailable", 0), (7, "failed", 0)]


LEAVES = {"kind": "on_off", "on": 5, "off": {"sequence": [3, 1000]}}


@pytest.mark.parametrize("on_leave", ["lost", "paused", "partial", "finish"])
def test_a_task_that_crashes_while_the_server_is_down_is_lost_whatever_its_client_does(
    on_leave: str,
) -> None:
    # It crashes after 2.97 of 6 s, the server is down from 1 to 7 s, and its client leaves at 5 s.
    crash = Streams(11).uniform("faults.crash_moment", 0, 0) * 6
    assert 1 < crash < 5
    fleet = {
        "availability": {**LEAVES, "on_leave": on_leave},
        "faults": {"crash": 1 - 1e-9},
    }

    def schedule(server: Any) -> Schedule:
        assert (yield server.wait([server.dispatch(0, steps=6)])) == []
        assert server.now == 7

    outcome = run(world([6], [1, 100], [6, 1], fleet=fleet, seed=11), schedule)
    assert outcome.story("computed", "arrived", "failed") == [(7, "failed", 0)]


@pytest.mark.parametrize("on_leave", ["lost", "paused", "partial", "finish"])
def test_a_task_whose_upload_is_given_up_while_the_server_is_down_fails_when_it_is_up(
    on_leave: str,
) -> None:
    # Uploads end at 2 s, when the server is down until 7 s; the client leaves at 5 s, until 8 s.
    loss = {"probability": 1 - 1e-9, "retries": 0, "timeout": 1}
    fleet = {"availability": {**LEAVES, "on_leave": on_leave}, "faults": {"upload_loss": loss}}

    def schedule(server: Any) -> Schedule:
        assert (yield server.wait([server.dispatch(0)])) == []
        assert server.now == 7

    outcome = run(world([2], [1, 100], [6, 1], fleet=fleet), schedule)
    assert outcome.story("arrived", "failed") == [(7, "failed", 0)]


def test_an_update_of_a_client_that_was_away_does_not_arrive_while_the_server_is_down() -> None:
    # Uploaded at 2 s. The server is down from 1 to 7 s and from 9 to 15 s, the client away from 4
    # to 10 s: both are there at 15 s.
    stays = {"kind": "on_off", "on": {"sequence": [4, 99]}, "off": 6, "on_leave": "paused"}

    def schedule(server: Any) -> Schedule:
        yield server.wait([server.dispatch(0)])

    settings = world([2], [1, 2, 100], [6, 6, 1], fleet={"availability": stays})
    assert run(settings, schedule).story("computed", "arrived") == [
        (2, "computed", 0),
        (15, "arrived", 0),
    ]


def test_a_second_copy_of_an_update_arrives_when_the_server_is_up() -> None:
    def schedule(server: Any) -> Schedule:
        yield server.wait([server.dispatch(0)])
        yield server.sleep(20)

    fleet = {"faults": {"duplication": {"probability": 1, "delay": 3}}}
    outcome = run(world([2], [4, 100], [6, 1], fleet=fleet), schedule)
    assert outcome.story("arrived", "duplicate") == [(2, "arrived", 0), (10, "duplicate", 0)]


def test_an_update_that_waited_for_the_server_arrives_when_its_client_is_back() -> None:
    # As above, but the server is up from 7 s on.
    fleet = {"availability": {"kind": "on_off", "on": 4, "off": 6, "on_leave": "paused"}}

    def schedule(server: Any) -> Schedule:
        yield server.wait([server.dispatch(0)])

    outcome = run(world([2], [1, 100], [6, 1], fleet=fleet), schedule)
    (arrived,) = outcome.of("arrived")
    assert arrived.time_us == 10 * SECOND + 1  # what goes on takes a microsecond at least


def test_a_client_that_comes_back_is_sent_its_task_when_the_server_is_up_and_it_is_there() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0)
        server.dispatch(1)
        yield server.sleep(50)

    joins = {"values": [4, 1]}
    availability = {"kind": "always", "joins": joins, "leaves": {"values": [99, 98]}}
    settings = world([1, 9], [3, 100], [4, 1], fleet={"availability": availability})
    assert run(settings, schedule).story("dispatched") == [
        (1, "dispatched", 1),
        (7, "dispatched", 0),
    ]


STRATEGIES = [
    {"kind": "fedavg", "clients_per_round": 3},
    {"kind": "fedavg", "clients_per_round": 3, "deadline": 3},
    {"kind": "fedasync", "concurrency": 4},
    {"kind": "fedbuff", "concurrency": 4, "buffer_size": 2},
    {"kind": "quafl", "clients_per_round": 2, "interaction_seconds": 2},
    {"kind": "fedat", "tiers": 2, "clients_per_round": 2},
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda block: block["kind"])
def test_a_server_does_nothing_while_it_is_down(strategy: dict[str, Any]) -> None:
    law = {"dist": "expon", "scale": 3}
    settings = scenario(
        6,
        compute={"seconds_per_task": {"dist": "expon", "scale": 2}},
        fleet={
            "availability": {"kind": "on_off", "on": {"dist": "expon", "scale": 20}, "off": law},
            "faults": {"crash": 0.2},
        },
        server={"pauses": {"every": law, "lasts": law}, "aggregation_seconds": 0.1},
        strategy=strategy,
        stop={"updates": 120},
    )
    outcome = run(settings)
    down = False
    for event in outcome.events:
        if event.kind in ("paused", "resumed"):
            assert down == (event.kind == "resumed")
            down = event.kind == "paused"
        elif down:
            assert event.kind in ("downloaded", "computed", "unavailable", "available"), event
    assert len(outcome.of("paused")) > 10
    assert outcome.of("failed")


def test_a_run_with_pauses_and_evaluations_still_comes_to_rest() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0)
        yield server.arrival()
        yield server.arrival()

    settings = world([1], 3, 4, stop={"versions": 3}, evaluation={"every_seconds": 2})
    with pytest.raises(ScheduleError, match="came to rest"):
        run(settings, schedule)


@pytest.mark.parametrize("queue", ["none", "fifo"])
def test_a_client_that_comes_only_while_the_server_is_down_is_never_sent_anything(
    queue: str,
) -> None:
    # The server is up in the first 3 s of each 10; client 0 is there from 3.5 to 4 s of each 5.
    def schedule(server: Any) -> Schedule:
        task = server.dispatch(0)
        assert not task.in_flight
        assert (yield server.wait([task])) == []
        yield server.wait([server.dispatch(1)])

    night = {"kind": "diurnal", "period": 5, "share": 0.1, "phase": {"values": [0.7, 0]}}
    fleet = {"availability": night, "queue": queue}
    outcome = run(world([0.2, 0.2], 3, 7, fleet=fleet, stop={"virtual_seconds": 60}), schedule)
    assert {event.client for event in outcome.of("dispatched")} == {1}


def test_a_pause_of_no_time_at_all_is_none() -> None:
    def schedule(server: Any) -> Schedule:
        yield server.wait(server.dispatch_many([0]))
        assert server.now == 5

    outcome = run(world([5], 1, 0), schedule)
    assert not outcome.of("paused", "resumed")
    with pytest.raises(ValueError, match=r"every\n.*got 0; expected a duration above 0"):
        world([5], 0, 1)
