"""FAVAS: progress divided by its expectation, and clients that start anew when polled."""

from __future__ import annotations

import json
from collections.abc import Callable

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


def work(seconds_per_step: list, versions: int = 3, **settings: object) -> Outcome:
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
            stop={"versions": versions},
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


@pytest.mark.parametrize(
    ("reweighting", "alpha"),
    [
        # Client 0 does 5 steps before the first poll can come, 6 s after it began, and then waits.
        # Client 1 has done 2, 4 or 5 after one, two or more rounds: 2/2 + 4/4 + 5/4 = 3.25.
        ("expected", {0: lambda steps: 5.0, 1: lambda steps: 3.25}),
        # Both have always done a step: P(E > 0) = 1.
        ("stochastic", {0: lambda steps: steps, 1: lambda steps: steps}),
    ],
)
def test_alpha_is_expected_of_the_step_times_from_the_first_poll_on(
    reweighting: str, alpha: dict[int, Callable[[int], float]]
) -> None:
    outcome = work([1, 2.5], clients_per_round=1, reweighting=reweighting, versions=12)
    steps = {(e.version, e.client): e.steps for e in outcome.of("aggregated")}
    found = {
        (version, int(client)): value
        for version, each in enumerate(alphas(outcome), start=1)
        for client, value in each.items()
    }
    assert found == {key: pytest.approx(alpha[key[1]](n)) for key, n in steps.items()}
    assert {client for _, client in found} == {0, 1}


def test_alpha_knows_the_chance_that_no_step_is_done() -> None:
    # A step takes 7 s, and each poll, 6 s apart, reaches the client with chance 1/2. One step is
    # done from the second round on, two from the third, three from the fourth: the chances are 1/2,
    # 1/4 and 1/8, and the mean is 7/8.
    for reweighting in ("expected", "stochastic"):
        outcome = work(
            [7, 7], clients_per_round=1, local_steps=3, reweighting=reweighting, versions=9
        )
        done = {e.version: (e.client, e.steps) for e in outcome.of("aggregated")}
        for version, each in enumerate(alphas(outcome), start=1):
            client, steps = done[version]
            alpha = 7 / 8 if reweighting == "expected" else steps / 2
            assert each == {str(client): pytest.approx(alpha if steps else 1.0)}
        assert {steps for _, steps in done.values()} > {0, 1}


def test_contributions_are_right_on_average_from_the_first_poll_on() -> None:
    # The mean of steps / alpha over first polls is 1; with the means of polls it is one step each.
    outcome = run(
        scenario(
            400,
            compute={"seconds_per_step": 2.0, "jitter": {"dist": "expon"}, "jitter_per": "step"},
            strategy={"kind": "favas", "clients_per_round": 400, "local_steps": 20},
            stop={"versions": 1},
        )
    )
    # N is Poisson(3.5), of mean 3.5 and deviation 1.87: a mean of 400 has one of .094.
    (each,) = alphas(outcome)
    shares = [e.steps / each[str(e.client)] for e in outcome.of("aggregated")]
    assert sum(shares) / 400 == pytest.approx(1, abs=4 * 0.094 / 3.5)
    assert max(shares) > 2


def test_alpha_can_be_the_mean_number_of_steps_so_far() -> None:
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
                "expectations": "polls",
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


def test_the_stochastic_alpha_can_be_the_share_of_polls_with_a_step_times_the_steps() -> None:
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
                "expectations": "polls",
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
