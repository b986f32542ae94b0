"""Tasks that crash, uploads that are lost, sent again, corrupted or delivered twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError
from world_runs import MODEL_BYTES, SECOND, Outcome, run, scenario

from afl_sim.errors import ScheduleError
from afl_sim.run.summary import check_balance
from afl_sim.streams import Streams

Schedule = Iterator[Any]


def world(durations: Any, faults: dict[str, Any], **sections: Any) -> Any:
    fleet = {"faults": faults, **sections.pop("fleet", {})}
    return scenario(durations, fleet=fleet, **sections)


def everyone(server: Any) -> Schedule:
    yield server.wait(server.dispatch_many(range(server.clients)))


def at(outcome: Outcome, kind: str) -> dict[int, float]:
    return {event.client: event.time_us / SECOND for event in outcome.of(kind)}


# -- crashes -------------------------------------------------------------------------------------


def test_a_task_crashes_at_a_moment_of_its_computation() -> None:
    outcome = run(world([4] * 40, {"crash": 0.3}, down=1, up=1, seed=6), everyone)
    streams = Streams(6)
    doomed = {c for c in range(40) if streams.uniform("faults.crash", c, 0) < 0.3}
    assert 5 < len(doomed) < 20
    assert at(outcome, "arrived").keys() == set(range(40)) - doomed
    failed = at(outcome, "failed")
    assert failed.keys() == doomed
    for client, seconds in failed.items():
        moment = streams.uniform("faults.crash_moment", client, 0)
        assert seconds == pytest.approx(1 + 4 * moment, abs=1e-6)
    assert at(outcome, "computed").keys() == set(range(40)) - doomed
    assert outcome.server.idle == 40


def test_a_client_may_have_a_probability_of_its_own() -> None:
    def ten_each(server: Any) -> Schedule:
        for _ in range(10):
            yield from everyone(server)

    outcome = run(world([1, 1, 1], {"crash": {"values": [0, 0.5, 1]}}), ten_each)
    counts = Counter(event.client for event in outcome.of("failed"))
    assert (counts[0], counts[2]) == (0, 10)
    assert 0 < counts[1] < 10


def test_a_probability_above_one_is_told() -> None:
    with pytest.raises(ValidationError, match=r"can be 1\.5, which is not a probability"):
        world([1, 1], {"crash": {"values": [1.5, 0]}})


def test_a_task_that_takes_no_time_crashes_a_microsecond_later() -> None:
    outcome = run(world(1, {"crash": 0.999}, compute={"seconds_per_task": 0}), everyone)
    assert [event.time_us for event in outcome.of("failed")] == [1]


def test_a_polled_client_crashes_too_and_begins_anew() -> None:
    def schedule(server: Any) -> Schedule:
        for _ in range(40):
            server.dispatch(0, steps=4, until_polled=True)
            yield server.sleep(10)
            task = server.task(0)
            assert task is not None
            yield server.wait([server.recall(task)])

    outcome = run(world([4], {"crash": 0.5}), schedule)
    assert len(outcome.of("failed")) > 5
    assert len(outcome.of("arrived")) == 40


def test_a_server_that_does_not_notice_a_crash_waits_for_the_client_until_it_does() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many(range(40))
        arrived = yield server.wait(tasks)
        assert server.now == 10
        assert len(arrived) == 40 - len(doomed)
        assert server.idle == 40

    streams = Streams(6)
    doomed = {c for c in range(40) if streams.uniform("faults.crash", c, 0) < 0.3}
    faults = {"crash": 0.3, "noticed_after": 10}
    outcome = run(world([4] * 40, faults, down=1, up=1, seed=6), schedule)
    assert at(outcome, "failed") == dict.fromkeys(sorted(doomed), 10)
    # A crash that comes later than that is noticed when it comes.
    late = run(world([400] * 40, faults, seed=6), everyone)
    moments = {c: 400 * streams.uniform("faults.crash_moment", c, 0) for c in doomed}
    assert max(moments.values()) > 10
    for client, seconds in at(late, "failed").items():
        assert seconds == pytest.approx(max(10, moments[client]), abs=1e-6)


def test_tasks_sent_before_crashes_begin_are_safe() -> None:
    def twice(server: Any) -> Schedule:
        yield from everyone(server)
        yield from everyone(server)

    outcome = run(world([4] * 40, {"crash": 0.5, "crash_from": 4}, seed=6), twice)
    assert {event.task for event in outcome.of("failed")} == {1}
    assert 10 < len(outcome.of("failed")) < 30


UNNOTICED = {"crash": {"values": [1, 0]}, "noticed_after": 9}


def test_a_server_that_recalls_a_task_notices_that_it_has_crashed() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = [server.dispatch(0, steps=4, until_polled=True), server.dispatch(1)]
        yield server.sleep(4)
        arrived = yield server.wait([server.recall(task) for task in tasks])
        assert (arrived, server.now) == ([tasks[1]], 4)
        assert server.task(0) is None  # nobody is sent another in its place

    outcome = run(world([4, 8], UNNOTICED), schedule)
    assert at(outcome, "failed") == {0: 4}


def test_a_server_that_polls_notices_a_crash_and_has_the_client_begin_anew() -> None:
    def schedule(server: Any) -> Schedule:
        first = server.dispatch(0, steps=4, until_polled=True)
        yield server.sleep(4)
        assert server.poll(0) is first
        assert (yield server.wait([first])) == []
        assert server.now == 4
        successor = server.task(0)
        assert (successor.task, successor.limit, successor.in_flight) == (1, 4, True)
        yield server.sleep(30)
        assert server.task(0) is not first

    outcome = run(world([4, 4], UNNOTICED), schedule)
    assert [(e.time_us / SECOND, e.task) for e in outcome.of("failed")][:2] == [(4, 0), (13, 1)]


def test_a_wait_for_a_crashed_task_ends_when_another_process_asks_for_it() -> None:
    def other(server: Any, task: Any) -> Schedule:
        yield server.sleep(5)
        server.recall(task)

    def schedule(server: Any) -> Schedule:
        task = server.dispatch(0)
        server.spawn(other(server, task))
        assert (yield server.wait([task])) == []
        assert server.now == 5

    run(world([4, 4], UNNOTICED), schedule)


def test_a_task_that_has_failed_needs_no_recall() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1])
        arrived = yield server.wait(tasks)
        assert (arrived, server.now) == ([tasks[1]], 9)
        for task in tasks:
            server.recall(task)
            server.recall(task)
        yield server.sleep(40)
        assert server.idle == 2

    outcome = run(world([4, 8], UNNOTICED), schedule)
    assert [(e.client, e.task) for e in outcome.of("failed")] == [(0, 0)]
    check_balance(outcome.server.counts)


def test_a_round_of_fedavg_sends_nobody_a_second_task_that_no_round_waits_for() -> None:
    # Client 0 is away at the deadline, so that it is not asked; back again, it crashes while the
    # round still waits for client 1's partial work.
    stays = {
        "kind": "on_off",
        "on": {"values": [2, 999]},
        "off": {"values": [4, 1]},
        "on_leave": "paused",
    }
    settings = world(
        [16, 10],
        {"crash": {"values": [1, 0]}},
        up=20,
        strategy={"kind": "fedavg", "clients_per_round": 2, "deadline": 5, "partial": "keep"},
        stop={"virtual_seconds": 24.5},
        fleet={"availability": stays},
        training={"steps": 10},
        seed=3,
    )
    crash = 16 * Streams(3).uniform("faults.crash_moment", 0, 0)
    assert 2 < crash < 20
    outcome = run(settings)
    assert [(event.client, event.task) for event in outcome.of("failed")] == [(0, 0)]
    assert Counter(event.client for event in outcome.of("dispatched"))[0] == 1


RECALLS = [
    {"kind": "fedprox", "clients_per_round": 1},
    {"kind": "fedprox", "clients_per_round": 3, "stragglers": 0.5, "straggler_epochs": 3},
    {"kind": "fedavg", "clients_per_round": 3, "partial": "keep", "deadline": 5},
    {"kind": "fedavg", "clients_per_round": 2, "partial": "keep", "over_selection": 0.5},
    {"kind": "port", "concurrency": 3, "buffer_size": 1, "staleness_bound": 1},
    {"kind": "favas", "clients_per_round": 2, "interaction_seconds": 2},
    {"kind": "quafl", "clients_per_round": 2, "interaction_seconds": 2},
]


@pytest.mark.parametrize("noticed_after", [1.0, 3.0, 30.0])
@pytest.mark.parametrize("strategy", RECALLS, ids=lambda block: block["kind"])
def test_a_late_crash_fails_once_under_strategies_that_recall(
    strategy: dict[str, Any], noticed_after: float
) -> None:
    settings = world(
        3,
        {"crash": 0.3, "noticed_after": noticed_after},
        compute={"seconds_per_task": 1, "jitter": {"dist": "expon"}},
        strategy=strategy,
        stop={"virtual_seconds": 600},
    )
    outcome = run(settings)
    tasks = [(event.client, event.task) for event in outcome.of("failed")]
    assert len(set(tasks)) == len(tasks) > 5
    check_balance(outcome.server.counts)


@pytest.mark.parametrize("on_leave", ["lost", "paused", "partial", "finish"])
def test_when_a_crash_is_noticed_has_nothing_to_do_with_the_client_s_leave(on_leave: str) -> None:
    crashed = Streams(6).uniform("faults.crash_moment", 0, 0) * 5
    assert crashed < 4.5
    away = {"kind": "on_off", "on": 4.5, "off": 50, "on_leave": on_leave}
    faults = {"crash": 1 - 1e-9, "noticed_after": 9}
    settings = world([5], faults, fleet={"availability": away}, seed=6)
    assert at(run(settings, everyone), "failed") == {0: 9}


def test_a_client_that_leaves_before_it_crashes_does_so_when_it_is_back() -> None:
    crashed = Streams(6).uniform("faults.crash_moment", 0, 0) * 40
    away = {"kind": "on_off", "on": {"sequence": [2, 1000]}, "off": 50, "on_leave": "paused"}
    faults = {"crash": 1 - 1e-9, "noticed_after": 9}
    outcome = run(world([40], faults, fleet={"availability": away}, seed=6), everyone)
    assert at(outcome, "failed")[0] == pytest.approx(50 + crashed, abs=1e-6)


ASYNCHRONOUS = [
    {"kind": "fedasync"},
    {"kind": "fedbuff", "buffer_size": 3},
    {"kind": "ringmaster"},
    {"kind": "asyncsgd"},
    {"kind": "delay_adaptive"},
    {"kind": "rennala"},
    {"kind": "port", "buffer_size": 3},
    {"kind": "ca2fl", "buffer_size": 3},
    {"kind": "asofed"},
]


@pytest.mark.parametrize("strategy", ASYNCHRONOUS, ids=lambda block: block["kind"])
@pytest.mark.parametrize("clients", [5, 12])
def test_strategies_keep_their_concurrency_under_crashes(
    strategy: dict[str, Any], clients: int
) -> None:
    settings = world(
        clients,
        {"crash": 0.4, "upload_loss": {"probability": 0.3, "retries": 1, "timeout": 1}},
        compute={"seconds_per_task": {"dist": "expon", "scale": 2}},
        strategy={**strategy, "concurrency": 5},
        stop={"updates": 300},
    )
    outcome = run(settings)
    under_way, counted = 0, Counter[int]()
    change = {"dispatched": 1, "arrived": -1, "failed": -1, "cancelled": -1}
    for i, event in enumerate(outcome.events[:-1]):
        under_way += change.get(event.kind, 0)
        if outcome.events[i + 1].time_us > event.time_us:
            counted[under_way] += 1
    # Port sends nothing before its buffer of three is full.
    assert set(counted) == ({3, 4, 5} if strategy["kind"] == "port" else {5})
    assert len(outcome.of("failed")) > 50


@pytest.mark.parametrize(
    "strategy",
    [
        {"kind": "fedavg", "clients_per_round": 4},
        {"kind": "fedavg", "clients_per_round": 4, "deadline": 2, "partial": "keep"},
        {"kind": "fedavg", "clients_per_round": 3, "over_selection": 0.5, "late": "discard"},
        {"kind": "fedprox", "clients_per_round": 4, "stragglers": 0.5, "partial": "drop"},
        {"kind": "fedat", "tiers": 2, "clients_per_round": 3},
        {"kind": "quafl", "clients_per_round": 3, "interaction_seconds": 1},
        {"kind": "favas", "clients_per_round": 3},
        {"kind": "safa", "deadline": 5},
        {"kind": "safa"},
        {"kind": "tifl", "tiers": 2, "clients_per_round": 3},
        {"kind": "mifa"},
        {"kind": "flanp"},
        {"kind": "malenia"},
        {"kind": "ringleader"},
        {"kind": "fedfix", "interval": 4},
    ],
    ids=lambda block: block["kind"],
)
def test_no_strategy_waits_for_ever_for_what_crashed(strategy: dict[str, Any]) -> None:
    settings = world(
        8,
        {"crash": 0.5},
        compute={"seconds_per_task": {"dist": "expon", "scale": 2}},
        strategy=strategy,
        stop={"updates": 150},
    )
    outcome = run(settings)
    assert len(outcome.of("failed")) > 30
    assert outcome.server.counts.aggregated >= 150


def test_tasks_that_are_not_to_be_retried_are_not() -> None:
    def schedule(server: Any) -> Schedule:
        for client in range(20):
            server.dispatch(client, retry=False)
        yield server.sleep(100)

    outcome = run(world([1] * 20, {"crash": 0.5}), schedule)
    assert len(outcome.of("dispatched")) == 20
    assert outcome.of("failed")


# -- uploads -------------------------------------------------------------------------------------

LOSSES = {"probability": 0.6, "retries": 2, "timeout": 10, "backoff": 3}


def test_a_client_whose_upload_is_lost_tries_again_and_in_the_end_gives_up() -> None:
    settings = world([1] * 60, {"upload_loss": LOSSES}, up=2, seed=3)
    outcome = run(settings, everyone)
    arrived, failed = at(outcome, "arrived"), at(outcome, "failed")
    seen = set()
    for client in range(60):
        u = Streams(3).uniform("faults.upload_loss", client, 0)
        losses = sum(u < 0.6**k for k in (1, 2, 3))
        seen.add(losses)
        rows = [e for e in outcome.of("lost") if e.client == client]
        # Each attempt takes 2 s, then 10 s of waiting for an answer, then 3 s, then 6 s.
        assert [e.time_us / SECOND for e in rows] == [3, 18, 36][:losses]
        assert all(e.bytes == MODEL_BYTES for e in rows)
        if losses < 3:
            assert arrived[client] == [3, 18, 36][losses]
        else:
            assert failed[client] == 46
    assert seen == {0, 1, 2, 3}


def test_without_a_wait_a_lost_upload_is_sent_again_at_once() -> None:
    loss = {"probability": 0.6, "retries": 1000, "timeout": 0, "backoff": 0}
    outcome = run(world([1] * 20, {"upload_loss": loss}), everyone)
    assert set(at(outcome, "arrived").values()) == {1}
    assert outcome.of("lost")


def test_uploads_that_take_no_time_may_be_lost_very_often() -> None:
    loss = {"probability": 0.999, "retries": 1000, "timeout": 0, "backoff": 0}
    outcome = run(world([1] * 5, {"upload_loss": loss}, seed=1), everyone)
    attempts = Counter(event.client for event in outcome.of("lost"))
    assert max(attempts.values()) > 900
    assert set(at(outcome, "arrived").values()) | set(at(outcome, "failed").values()) == {1}


@pytest.mark.parametrize("strategy", ["fedavg", "scaffold", "mifa"])
def test_a_round_that_takes_no_time_does_without_the_uploads_that_are_lost(strategy: str) -> None:
    loss = {"probability": 0.5, "timeout": 0, "retries": 0}
    settings = world(
        6,
        {"upload_loss": loss},
        compute={"seconds_per_task": 0},
        strategy={"kind": strategy, "clients_per_round": 3},
        stop={"versions": 40},
    )
    outcome = run(settings)
    assert outcome.server.version == 40
    assert outcome.of("failed")
    assert outcome.server.idle >= 3  # nobody is left behind with an update that nobody takes


def test_a_lost_upload_takes_its_time_on_the_server_s_link_again() -> None:
    loss = {"probability": 0.6, "retries": 1000, "timeout": 1, "backoff": 0}
    link = {"kind": "fifo", "bandwidth": MODEL_BYTES / 2}
    outcome = run(world([1] * 4, {"upload_loss": loss}, server={"upload": link}, seed=2), everyone)
    ends = sorted(event.time_us for event in outcome.of("lost", "arrived"))
    assert len(ends) > 4
    assert all(later - earlier >= 2 * SECOND for earlier, later in pairwise(ends))


def test_a_second_copy_is_logged_and_nothing_else() -> None:
    double = {"probability": 0.5, "delay": {"dist": "uniform", "loc": 1, "scale": 2}}
    strategy = {"kind": "fedbuff", "concurrency": 5, "buffer_size": 2}
    plain, doubled = (
        run(
            world(
                8,
                faults,
                compute={"seconds_per_task": {"dist": "expon"}},
                strategy=strategy,
                stop={"updates": 100},
            )
        )
        for faults in ({}, {"duplication": double})
    )
    copies = doubled.of("duplicate")
    assert 30 < len(copies) < 70
    first = {(e.client, e.task): e.time_us for e in doubled.of("arrived")}
    assert all(
        SECOND <= copy.time_us - first[copy.client, copy.task] <= 3 * SECOND for copy in copies
    )
    assert [e for e in doubled.events if e.kind != "duplicate"] == plain.events
    assert doubled.server.counts == plain.server.counts
    check_balance(doubled.server.counts)


@pytest.mark.parametrize("kind", ["nan", "scale"])
def test_a_corrupted_update_is_an_event_and_changes_no_schedule(kind: str) -> None:
    strategy = {"kind": "fedasync", "concurrency": 5}
    plain, wrong = (
        run(
            world(
                8,
                faults,
                compute={"seconds_per_task": {"dist": "expon"}},
                strategy=strategy,
                stop={"updates": 100},
                seed=4,
            )
        )
        for faults in ({}, {"corruption": {"probability": 0.2, "kind": kind}})
    )
    assert [e for e in wrong.events if e.kind != "corrupted"] == plain.events
    found = {(e.client, e.task) for e in wrong.of("corrupted")}
    for event in wrong.of("arrived"):
        u = Streams(4).uniform("faults.corruption", event.client, event.task)
        assert ((event.client, event.task) in found) == (u < 0.2)


# -- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ({"crash": 1}, "every task would crash"),
        ({"upload_loss": {"probability": 1}}, "less than 1"),
        ({"corruption": {"probability": 1.5}}, "less than or equal to 1"),
        ({"duplication": {"probability": -0.1}}, "greater than or equal to 0"),
    ],
)
def test_impossible_faults_are_refused(faults: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        world([1], faults)


def test_a_run_in_which_everything_crashes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afl_sim.world.server.standstill.LIMIT", 1000)
    settings = world(
        3, {"crash": 1 - 1e-9}, strategy={"kind": "fedasync", "concurrency": 2},
        stop={"updates": 10},
    )  # fmt: skip
    with pytest.raises(ScheduleError, match=r"none of the last \S+ tasks was of use"):
        run(settings)


def test_a_polled_client_whose_upload_is_lost_has_one_task() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0, steps=4, until_polled=True)
        for _ in range(20):
            yield server.sleep(1)
            polled = server.poll(0)
            yield server.wait([polled])
            assert server.idle == 0

    loss = {"probability": 0.6, "retries": 0, "timeout": 0}
    outcome = run(world([4], {"upload_loss": loss}), schedule)
    assert 5 < len(outcome.of("failed")) < 18
    assert len(outcome.of("dispatched")) == 21


def test_sampled_clients_whose_uploads_are_lost_are_sent_another_task() -> None:
    loss = {"probability": 0.6, "retries": 0, "timeout": 1}
    for strategy in (
        {"kind": "favas", "clients_per_round": 4},
        {"kind": "quafl", "clients_per_round": 4, "interaction_seconds": 3},
    ):
        settings = world([1] * 6, {"upload_loss": loss}, strategy=strategy, stop={"updates": 200})
        outcome = run(settings)
        late = [event.client for event in outcome.of("aggregated")[-60:]]
        assert set(late) == set(range(6))
