"""Rennala and Malenia SGD: gradients at one model, and a fresh start after each step."""

from __future__ import annotations

from typing import Any

import pytest
from vectors import assert_is, models_after, moved, server_steps, step, vec
from world_runs import Outcome, run, scenario

from afl_sim.strategies import Malenia, Rennala


def used(outcome: Outcome) -> list[tuple[int, int, int]]:
    """(whole second of its arrival, client, version) of the gradients used."""
    arrival = {(e.client, e.task): e.time_us // 1_000_000 for e in outcome.of("arrived")}
    return [(arrival[e.client, e.task], e.client, e.version) for e in outcome.of("aggregated")]


def test_rennala_steps_by_the_sum_divided_by_b() -> None:
    # (1, 1) - 0.1 / 2 * ((1, -2) + (3, 0)) = (1, 1) - 0.05 (4, -2) = (0.8, 1.1)
    strategy = Rennala(batch_size=2, lr=0.1)
    assert_is(step(strategy, vec(1, 1), [moved(-1, 2), moved(-3, 0)]), 0.8, 1.1)


def test_rennala_counts_two_gradients_of_one_worker_as_two() -> None:
    # B = 3: -0.3 / 3 * (1 + 1 + 4, 0) = (-0.6, 0)
    strategy = Rennala(batch_size=3, lr=0.3)
    batch = [moved(-1, 0, client=0), moved(-1, 0, client=0), moved(-4, 0, client=1)]
    assert_is(step(strategy, vec(0, 0), batch), -0.6, 0)


def test_rennala_weighs_neither_samples_nor_staleness() -> None:
    strategy = Rennala(batch_size=2, lr=1.0)
    batch = [moved(2, 0, n=100, tau=7), moved(0, 2)]
    assert_is(step(strategy, vec(0, 0), batch), 1, 1)


def test_rennala_with_a_server_optimizer_hands_it_the_mean() -> None:
    strategy = Rennala(batch_size=2, server_optimizer={"kind": "SGD", "lr": 0.5})
    assert_is(server_steps(strategy, vec(0, 0), [moved(2, 0), moved(0, 4)])[0], 0.5, 1)


def test_malenia_averages_within_each_client_first() -> None:
    # Client 0: ((2, 0) + (4, 0)) / 2 = (3, 0); client 1: (0, 6). Their mean is (1.5, 3).
    batch = [moved(2, 0, client=0), moved(4, 0, client=0), moved(0, 6, client=1)]
    assert_is(step(Malenia(lr=1.0), vec(0, 0), batch), 1.5, 3)


def test_malenia_scales_the_mean_by_gamma() -> None:
    # (1, 1) - 0.5 ((2, 0) + (0, 4)) / 2 = (0.5, 0)
    batch = [moved(-2, 0, client=0), moved(0, -4, client=1)]
    assert_is(step(Malenia(lr=0.5), vec(1, 1), batch), 0.5, 0)


def test_malenia_is_not_swayed_by_a_client_that_sends_more() -> None:
    lots = [moved(1, 0, client=0)] * 9 + [moved(0, 1, client=1)]
    assert_is(step(Malenia(lr=1.0), vec(0, 0), lots), 0.5, 0.5)


def test_rennala_takes_the_first_b_gradients_and_restarts_all() -> None:
    # B = 3 with workers of 1 and 2.5 s: worker 0 at 1 and 2 s, worker 1 at 2.5 s.
    outcome = run(
        scenario([1, 2.5], strategy={"kind": "rennala", "batch_size": 3}, stop={"updates": 6})
    )
    assert used(outcome) == [(1, 0, 1), (2, 0, 1), (2, 1, 1), (3, 0, 2), (4, 0, 2), (5, 1, 2)]
    # Worker 0's third gradient, half done at 2.5 s, is given up.
    assert outcome.story("cancelled") == [(2.5, "cancelled", 0)]
    assert {e.staleness for e in outcome.of("aggregated")} == {0}
    # Both start at version 1 at that instant.
    assert [(e.time_us, e.base_version) for e in outcome.of("dispatched")][4:6] == [
        (2_500_000, 1)
    ] * 2


def test_rennala_may_let_late_gradients_finish_and_ignore_them() -> None:
    outcome = run(
        scenario(
            [1, 2.5],
            strategy={"kind": "rennala", "batch_size": 2, "late": "discard"},
            stop={"versions": 2},
        )
    )
    # Version 1 of 1 s and 2 s. Worker 1's gradient of version 0 comes at 2.5 s, for nothing.
    assert used(outcome) == [(1, 0, 1), (2, 0, 1), (3, 0, 2), (4, 0, 2)]
    assert outcome.story("discarded") == [(2.5, "discarded", 1)]
    assert [e.base_version for e in outcome.of("dispatched") if e.client == 1] == [0, 1]


@pytest.mark.parametrize(("batch", "seconds"), [(1, 1), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_rennalas_round_lasts_until_b_gradients_can_be_there(batch: int, seconds: int) -> None:
    # min {t : floor(t / 1) + floor(t / 2) + floor(t / 3) >= B}
    outcome = run(
        scenario([1, 2, 3], strategy={"kind": "rennala", "batch_size": batch}, stop={"versions": 2})
    )
    times = [e.time_us for e in outcome.of("aggregated")]
    assert sorted(set(times)) == [seconds * 1_000_000, 2 * seconds * 1_000_000]


def malenia(batch: float, **stop: Any) -> Outcome:
    return run(scenario([1, 3.5], strategy={"kind": "malenia", "batch": batch}, stop=stop))


def test_malenia_waits_for_every_client_and_uses_all_that_came_meanwhile() -> None:
    outcome = malenia(0, versions=2)
    assert used(outcome)[:4] == [(1, 0, 1), (2, 0, 1), (3, 0, 1), (3, 1, 1)]
    assert used(outcome)[-1] == (7, 1, 2)
    assert [e.time_us for e in outcome.of("arrived")][4] == 4_500_000  # a fresh start at 3.5 s
    assert outcome.story("cancelled") == [(3.5, "cancelled", 0)]


def test_malenia_waits_until_the_harmonic_mean_is_greater_than_the_batch() -> None:
    # At 3.5 s the numbers are 3 and 1: harmonic mean 1.5. At 4 s they are 4 and 1: 8/5 = 1.6. At
    # 6 s they are 6 and 1: 12/7 = 1.71. At 7 s they are 7 and 2: 28/9 = 3.1.
    assert malenia(1.49, versions=1).ending.time_us == 3_500_000
    assert malenia(1.5, versions=1).ending.time_us == 4_000_000
    assert malenia(1.7, versions=1).ending.time_us == 6_000_000
    assert malenia(2, versions=1).ending.time_us == 7_000_000
    # S = n: at 1.5 s there is one of each, a harmonic mean of 1, which is not greater than 1.
    equal = run(scenario([1, 1.5], strategy={"kind": "malenia", "batch": 1}, stop={"versions": 1}))
    assert equal.ending.time_us == 2_000_000


def test_models_follow_from_round_to_round() -> None:
    first, second = models_after(
        Rennala(batch_size=1, lr=1.0), vec(0, 0), [moved(1, 0)], [moved(0, 1)]
    )
    assert_is(first, 1, 0)
    assert_is(second, 1, 1)


def test_check_finds_settings_that_do_not_fit() -> None:
    assert [p for p, _ in Rennala(concurrency=3).check(2)] == [("concurrency",)]
    assert [p for p, _ in Rennala(lr=1.0, server_optimizer="Adam").check(2)] == [("lr",)]
    assert not list(Rennala(batch_size=50).check(2))  # workers send as many as it takes
