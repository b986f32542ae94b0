"""FAVAS: progress divided by its expectation, and clients that start anew when polled."""

from __future__ import annotations

import json

import pytest
from vectors import assert_is, step, trained, vec
from world_runs import Outcome, run, scenario

from afl_sim.strategies import FAVAS


def test_progress_is_divided_by_alpha_and_averaged_with_the_servers_model() -> None:
    # Client 0 went from (2, 0) to (6, 0), alpha 4: u = (3, 0). Client 1 from (0, 0) to (0, 6),
    # alpha 2: u = (0, 3).  ((3, 3) + (3, 0) + (0, 3)) / 3 = (2, 2)
    updates = [trained(6, 0, base=[2, 0], client=0), trained(0, 6, client=1)]
    assert_is(step(FAVAS(), vec(3, 3), updates, alpha={0: 4.0, 1: 2.0}), 2, 2)


def test_a_client_that_has_done_nothing_counts_with_where_it_began() -> None:
    # ((4, 0) + (0, 2)) / 2 = (2, 1)
    updates = [trained(0, 2, base=[0, 2], client=5)]
    assert_is(step(FAVAS(), vec(4, 0), updates, alpha={5: 1.0}), 2, 1)


def test_with_alpha_one_it_is_the_mean_of_models() -> None:
    updates = [trained(6, 0, client=0), trained(0, 9, client=1)]
    assert_is(step(FAVAS(), vec(0, 0), updates, alpha={0: 1.0, 1: 1.0}), 2, 3)


def work(seconds_per_step: list, **settings: object) -> Outcome:
    return run(
        scenario(
            len(seconds_per_step),
            compute={"seconds_per_step": {"values": seconds_per_step}},
            strategy={
                "kind": "favas",
                "clients_per_round": len(seconds_per_step),
                "local_steps": 5,
                "interaction_seconds": 2,
                "wait_seconds": 4,
                **settings,
            },
            stop={"versions": 3},
        )
    )


def test_the_polled_start_anew_at_the_model_that_the_poll_made() -> None:
    outcome = work([1, 2.5, 100])
    assert [e.time_us for e in outcome.of("aggregated")] == [
        t * 1_000_000 for t in (6, 12, 18) for _ in range(3)
    ]
    # min(K, floor(6 / seconds)): 5, 2 and 0 steps each time.
    assert {(e.client, e.steps) for e in outcome.of("aggregated")} == {(0, 5), (1, 2), (2, 0)}
    # Sent anew after the aggregation, with its version, which is therefore not stale.
    sent = [(e.time_us // 1_000_000, e.base_version) for e in outcome.of("dispatched")]
    assert sent == [(0, 0)] * 3 + [(6, 1)] * 3 + [(12, 2)] * 3
    assert {e.staleness for e in outcome.of("aggregated")} == {0}


def alphas(outcome: Outcome) -> list[dict[str, float]]:
    found = {e.version: json.loads(e.context or "")["alpha"] for e in outcome.of("aggregated")}
    return list(found.values())


def test_alpha_is_the_mean_number_of_steps_so_far() -> None:
    # Client 1's steps take 2.5 s, then 6 s, then 2 s: 2, 1 and 3 steps.
    outcome = run(
        scenario(
            2,
            compute={
                "seconds_per_step": 1,
                "jitter": {"values": [1, {"sequence": [2.5, 6, 2]}]},
            },
            strategy={
                "kind": "favas",
                "clients_per_round": 2,
                "local_steps": 5,
                "interaction_seconds": 2,
                "wait_seconds": 4,
            },
            stop={"versions": 3},
        )
    )
    assert alphas(outcome) == [
        {"0": 5, "1": 2},
        {"0": 5, "1": pytest.approx(3 / 2)},
        {"0": 5, "1": pytest.approx(6 / 3)},
    ]


def test_the_stochastic_alpha_is_the_chance_of_a_step_times_the_steps() -> None:
    # Client 1's step takes 100 s, then 2 s, then 3 s: none, 3 and 2 steps.
    outcome = run(
        scenario(
            2,
            compute={
                "seconds_per_step": 1,
                "jitter": {"values": [1, {"sequence": [100, 2, 3]}]},
            },
            strategy={
                "kind": "favas",
                "clients_per_round": 2,
                "local_steps": 5,
                "reweighting": "stochastic",
                "interaction_seconds": 2,
                "wait_seconds": 4,
            },
            stop={"versions": 3},
        )
    )
    assert alphas(outcome) == [
        {"0": 5, "1": 1},  # nothing done: any alpha will do
        {"0": 5, "1": pytest.approx(1 / 2 * 3)},
        {"0": 5, "1": pytest.approx(2 / 3 * 2)},
    ]


def test_check_finds_polls_that_cannot_be() -> None:
    def complaints(**settings: object) -> list[str]:
        return [".".join(path) for path, _ in FAVAS(**settings).check(4)]

    assert complaints(clients_per_round=5) == ["clients_per_round"]
    assert complaints(clients_per_round=4) == []
    assert complaints(clients_per_round=2, interaction_seconds=0, wait_seconds=0) == [
        "interaction_seconds"
    ]
