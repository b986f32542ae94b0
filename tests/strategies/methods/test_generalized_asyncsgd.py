"""Generalized AsyncSGD: weighted steps, draws with any probabilities, queues at clients."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from places import SMALLEST
from vectors import assert_is, moved, step, vec
from world_runs import SECOND, Outcome, run, scenario

from afl_sim.errors import ScenarioError, ScheduleError
from afl_sim.run.api import load_scenario
from afl_sim.strategies import GeneralizedAsyncSGD
from afl_sim.streams import Streams

KIND = "generalized_asyncsgd"


def factors(outcome: Outcome) -> dict[int, float]:
    """1 / (n p_i), as aggregations were told."""
    return {e.client: json.loads(e.context or "")["factor"] for e in outcome.of("aggregated")}


def test_a_gradient_is_a_step_of_eta_over_n_p() -> None:
    # n = 4, p = 1/8: 1 / (n p) = 2. A gradient task's delta is -g:
    # (1, 1) - 0.1 * 2 * (1, -2) = (0.8, 1.4)
    assert_is(step(GeneralizedAsyncSGD(lr=0.1), vec(1, 1), [moved(-1, 2)], factor=2.0), 0.8, 1.4)


def test_a_client_drawn_twice_as_often_as_others_takes_half_steps() -> None:
    # n = 2, p = 1/2 + 1/2 ... 3/4 and 1/4: factors 2/3 and 2.
    strategy = GeneralizedAsyncSGD(lr=0.3)
    assert_is(step(strategy, vec(0, 0), [moved(3, -1)], factor=2 / 3), 0.6, -0.2)
    assert_is(step(strategy, vec(0, 0), [moved(3, -1)], factor=2.0), 1.8, -0.6)


def test_a_stale_gradient_counts_like_a_fresh_one() -> None:
    strategy = GeneralizedAsyncSGD(lr=0.1)
    for tau in (0, 50):
        assert_is(step(strategy, vec(1, 1), [moved(-1, 2, tau=tau)], factor=1.0), 0.9, 1.2)


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ("uniform", {0: 1, 1: 1, 2: 1}),
        ([1, 2, 5], {0: 8 / 3, 1: 8 / 6, 2: 8 / 15}),  # p = 1/8, 2/8, 5/8
        ([0.1, 0.1, 0.1], {0: 1, 1: 1, 2: 1}),
        ("speed", {0: 7 / 12, 1: 7 / 6, 2: 7 / 3}),  # times 1, 2, 4: p = 4/7, 2/7, 1/7
    ],
)
def test_weights_undo_how_often_clients_are_drawn(sampling: Any, expected: dict) -> None:
    strategy = {"kind": KIND, "concurrency": 4, "sampling": sampling}
    outcome = run(scenario([1, 2, 4], strategy=strategy, stop={"updates": 60}))
    assert factors(outcome) == pytest.approx(expected)


def test_clients_are_drawn_with_their_probabilities_and_queue_what_they_are_sent() -> None:
    strategy = {"kind": KIND, "concurrency": 6, "sampling": [1, 3]}
    outcome = run(scenario([2, 1], strategy=strategy, seed=5, stop={"updates": 400}))
    streams = Streams(5)
    sent = [event.client for event in outcome.of("dispatched")]
    drawn = [streams.uniform("strategy.routing", 0, k) for k in range(len(sent))]
    assert sent == [int(u >= 0.25) for u in drawn]
    assert outcome.server.counts.peak_in_flight == 6
    assert outcome.of("queued")


def test_the_schedule_of_algorithm_1(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three tasks in flight on two clients, drawn 0, 0, 1, then 1, 0, 1. Client 0 takes 2 s,
    # client 1 takes 3 s, and each works on one task at a time.
    script = iter([0.1, 0.2, 0.9, 0.8, 0.3, 0.7])
    monkeypatch.setattr(
        "afl_sim.world.server.server.Server.uniform", lambda self, purpose, client, k: next(script)
    )
    outcome = run(scenario([2, 3], strategy={"kind": KIND, "concurrency": 3}, stop={"updates": 4}))
    assert [
        (e.time_us // SECOND, e.client, e.task, e.base_version, e.staleness)
        for e in outcome.of("aggregated")
    ] == [
        (2, 0, 0, 0, 0),  # w1; drawn: 1, which is at work, so that w1 queues there
        (3, 1, 0, 0, 1),  # w2; drawn: 0, where w2 queues behind w0
        (4, 0, 1, 0, 2),  # w3, by a gradient at w0; drawn: 1, where w3 queues
        (6, 1, 1, 1, 2),  # w4, by a gradient at w1; client 0 delivers at the same instant
    ]
    assert [(e.time_us // SECOND, e.client, e.task) for e in outcome.of("queued")] == [
        (0, 0, 1),
        (2, 1, 1),
        (3, 0, 2),
        (4, 1, 2),
    ]
    assert [(e.time_us // SECOND, e.client, e.task) for e in outcome.of("started")] == [
        (2, 0, 1),
        (3, 1, 1),
        (4, 0, 2),
        (6, 1, 2),
    ]


def test_one_client_has_all_tasks_in_its_queue() -> None:
    outcome = run(scenario([2], strategy={"kind": KIND, "concurrency": 5}, stop={"updates": 20}))
    rows = [(e.time_us // SECOND, e.staleness) for e in outcome.of("aggregated")]
    assert rows == [(2 * k, min(k, 5) - 1) for k in range(1, 21)]


def test_a_task_that_fails_is_sent_to_the_same_client() -> None:
    strategy = {"kind": KIND, "concurrency": 3, "sampling": [1, 2, 2]}
    faults = {"faults": {"crash": {"values": [0.5, 0, 0.2]}}}
    outcome = run(scenario([1, 1, 1], strategy=strategy, fleet=faults, stop={"updates": 200}))
    rows = [e for e in outcome.events if e.kind in ("failed", "dispatched")]
    assert len(outcome.of("failed")) > 10
    for failed, after in pairwise(rows):
        if failed.kind == "failed":
            assert (after.kind, after.client) == ("dispatched", failed.client)


def test_clients_that_have_left_for_good_are_drawn_no_more() -> None:
    leaves = {"values": [5.0, 1e6, 1e6]}
    fleet = {"availability": {"kind": "always", "leaves": leaves, "on_leave": "finish"}}
    strategy = {"kind": KIND, "concurrency": 4}
    outcome = run(scenario([1] * 3, strategy=strategy, fleet=fleet, stop={"updates": 300}))
    last = max(e.time_us for e in outcome.of("dispatched") if e.client == 0)
    assert last < 5 * SECOND
    assert outcome.server.counts.in_flight in (3, 4)
    everybody = {"availability": {"kind": "always", "leaves": 5, "on_leave": "finish"}}
    with pytest.raises(ScheduleError, match="no idle client will ever be there again"):
        run(scenario([1] * 3, strategy=strategy, fleet=everybody, stop={"updates": 300}))


def test_tasks_that_take_no_time_come_and_go_like_others() -> None:
    outcome = run(
        scenario(
            3,
            compute={"seconds_per_task": 0},
            strategy={"kind": "generalized_asyncsgd", "concurrency": 2},
            server={"aggregation_seconds": 1},
            stop={"versions": 20},
        )
    )
    assert outcome.ending.rule == "versions"


def test_speeds_need_tasks_that_take_time() -> None:
    strategy = {"kind": KIND, "sampling": "speed"}
    with pytest.raises(ScheduleError, match="sampling by speed needs tasks that take time"):
        run(scenario(2, compute={"seconds_per_task": 0}, strategy=strategy))


@pytest.mark.parametrize("wrong", [{"lr": 0}, {"sampling": [1, 0]}, {"sampling": "fast"}])
def test_settings_outside_their_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ScenarioError):
        GeneralizedAsyncSGD(**wrong)


def test_there_is_a_weight_for_each_client() -> None:
    strategy = GeneralizedAsyncSGD(sampling=(1, 2))
    assert not list(strategy.check(2))
    assert [path for path, _ in strategy.check(3)] == [("sampling",)]


def test_what_clients_keep_does_not_go_with_queues() -> None:
    scaffold, queue = "strategy={kind: scaffold, clients_per_round: 5}", "clients.queue=fifo"
    load_scenario(SMALLEST, [scaffold])
    with pytest.raises(
        ScenarioError, match=r"clients\.queue: the clients of scaffold continue from the state"
    ):
        load_scenario(SMALLEST, [scaffold, queue])
    topk = "training.compression={upload: {kind: topk}}"
    for settings in ([f"strategy={{kind: {KIND}}}"], [queue]):
        load_scenario(SMALLEST, settings)
        with pytest.raises(
            ScenarioError, match=r"error_feedback: the entries that a client has not sent"
        ):
            load_scenario(SMALLEST, [*settings, topk])


def test_words_for_queues_are_checked() -> None:
    with pytest.raises(
        ScenarioError, match=r"clients\.queue: got 'lifo'; expected one of none, fifo"
    ):
        load_scenario(SMALLEST, ["clients.queue=lifo"])
