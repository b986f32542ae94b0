"""ATA: who computes how many gradients of a batch, by hand and against all allocations."""

from __future__ import annotations

from itertools import product
from math import inf

import pytest
from vectors import assert_is, moved, server_steps, step, vec
from world_runs import Outcome, run, scenario

from afl_sim.strategies import ATA
from afl_sim.strategies.methods.ata import Times, allocation

KNOWN = 1e-9  # alpha: as if the mean times were known


def test_the_step_is_along_the_mean_gradient() -> None:
    # (1, 1) - 0.5 ((1, -2) + (3, 0)) / 2
    batch = [moved(-1, 2), moved(-3, 0)]
    assert_is(step(ATA(lr=0.5), vec(1, 1), batch), 0, 1.5)
    sgd = {"kind": "SGD", "lr": 0.5}
    assert_is(server_steps(ATA(server_optimizer=sgd), vec(1, 1), batch)[0], 0, 1.5)


def test_the_bound_is_the_mean_less_what_is_in_doubt() -> None:
    # After 3 rounds in which it needed 10 and 14 s: x = log(18) / 2 = 1.445186,
    # 12 - 4 e 0.2 (sqrt(x) + x) = 12 - 2.174625 (1.202159 + 1.445186)
    times = Times(0.2, rounds=3)
    times.learn(7, 10)
    times.learn(7, 14)
    assert times.bound(7) == pytest.approx(6.243017, abs=1e-6)
    assert times.bound(0) == 0


def test_the_empirical_bound_has_twice_the_mean_in_place_of_alpha() -> None:
    # After 1 round, 40,000 gradients of 3 s: x = log(2) / 40000, and
    # 3 (1 - 8 e (sqrt(x) + x)) = 3 (1 - 21.746255 (0.004162793 + 0.0000173287))
    times = Times(None, rounds=1, counts={0: 40_000}, seconds={0: 120_000.0})
    assert times.bound(0) == pytest.approx(3 - 0.272710, abs=1e-5)
    # Few gradients leave everything open.
    assert Times(None, rounds=1, counts={0: 100}, seconds={0: 300.0}).bound(0) == 0


def test_a_batch_goes_to_those_who_end_first() -> None:
    # The ends are 1, 2, 3, 4 s of the first, 2 and 4 s of the second, 5 s of the third.
    lots = [0.1, 0.2, 0.3]
    seen = [9, 9, 9]
    assert allocation([1, 2, 5], seen, lots, 1) == [1, 0, 0]
    assert allocation([1, 2, 5], seen, lots, 3) == [2, 1, 0]
    assert allocation([1, 2, 5], seen, lots, 6) == [4, 2, 0]
    assert allocation([1, 2, 5], seen, lots, 8) == [5, 2, 1]
    # Of two who would end together, the lots decide.
    assert allocation([1, 1], [9, 9], [0.9, 0.1], 3) == [1, 2]


def test_no_allocation_takes_less_time() -> None:
    for bounds in product([0.7, 1.0, 1.9, 3.0], repeat=3):
        for batch in range(1, 7):
            numbers = allocation(bounds, [1, 1, 1], [0.5, 0.2, 0.8], batch)
            assert sum(numbers) == batch
            shortest = inf
            for other in product(range(batch + 1), repeat=3):
                if sum(other) == batch:
                    shortest = min(shortest, max(a * s for a, s in zip(other, bounds, strict=True)))
            assert max(a * s for a, s in zip(numbers, bounds, strict=True)) == shortest


def test_who_is_unknown_goes_first_and_who_is_in_doubt_shares_the_rest() -> None:
    # Workers 1 and 3 have sent none; 0 and 4 have a bound of 0; worker 2's is positive.
    bounds, counts = [0, 0, 5, 0, 0], [1, 0, 1, 0, 1]
    lots = [0.2, 0.8, 0.5, 0.3, 0.1]
    assert allocation(bounds, counts, lots, 1) == [0, 0, 0, 1, 0]
    assert allocation(bounds, counts, lots, 2) == [0, 1, 0, 1, 0]
    assert allocation(bounds, counts, lots, 7) == [2, 1, 0, 1, 3]


def test_in_the_first_round_all_share_evenly() -> None:
    assert allocation([0, 0], [0, 0], [0.9, 0.1], 5) == [2, 3]
    assert allocation([], [], [], 5) == []


def used(outcome: Outcome) -> list[tuple[int, list[tuple[float, int]]]]:
    """(version, sorted [(second, client) of the dispatch of each gradient]) of the versions."""
    sent = {(e.client, e.task): e.time_us / 1e6 for e in outcome.of("dispatched")}
    versions: dict[int, list[tuple[float, int]]] = {}
    for event in outcome.of("aggregated"):
        versions.setdefault(event.version, []).append(
            (sent[event.client, event.task], event.client)
        )
    return [(version, sorted(rows)) for version, rows in versions.items()]


def world(durations: object, versions: int = 3, **more: object) -> Outcome:
    strategy = {"kind": "ata", "alpha": KNOWN, **more}
    found = scenario(durations, strategy=strategy, stop={"versions": versions})  # type: ignore[arg-type]
    return run(found)


def test_workers_compute_one_after_the_other_until_the_batch_is_there() -> None:
    # At first 2 and 2, until 6 s. Then 3 of 1 s and 1 of 3 s: every 3 s.
    outcome = world([1, 3], batch_size=4)
    assert used(outcome) == [
        (1, [(0.0, 0), (0.0, 1), (1.0, 0), (3.0, 1)]),
        (2, [(6.0, 0), (6.0, 1), (7.0, 0), (8.0, 0)]),
        (3, [(9.0, 0), (9.0, 1), (10.0, 0), (11.0, 0)]),
    ]
    assert {event.staleness for event in outcome.of("aggregated")} == {0}
    assert not outcome.of("cancelled", "discarded")


def test_a_slow_worker_is_left_out() -> None:
    outcome = world([1, 1, 50], batch_size=6)
    rows = dict(used(outcome))
    assert [client for _, client in rows[1]].count(2) == 2
    assert sorted(client for _, client in rows[2]) == [0, 0, 0, 1, 1, 1]


def test_a_batch_smaller_than_the_fleet_meets_each_worker_once_at_first() -> None:
    outcome = world([2, 2, 2, 2], versions=2, batch_size=2)
    assert sorted(client for _, rows in used(outcome) for _, client in rows) == [0, 1, 2, 3]


def test_a_lost_gradient_is_computed_anew_by_the_same_worker() -> None:
    strategy = {"kind": "ata", "batch_size": 4}
    fleet = {"faults": {"crash": 0.5, "noticed_after": 0}}
    outcome = run(scenario([1, 1], strategy=strategy, fleet=fleet, stop={"versions": 5}))
    assert outcome.of("failed")
    assert [len(rows) for _, rows in used(outcome)] == [4] * 5


def test_those_who_have_left_for_good_compute_nothing_more() -> None:
    for leaves in (0, 2.5):
        fleet = {"availability": {"kind": "always", "leaves": leaves}}
        outcome = run(scenario([1, 1], strategy={"kind": "ata", "batch_size": 2}, fleet=fleet))
        assert all(event.time_us <= leaves * 1e6 for event in outcome.of("aggregated"))


def test_a_second_rate_is_refused_beside_a_server_optimizer() -> None:
    assert [path for path, _ in ATA(lr=0.3, server_optimizer="FedAdam").check(5)] == [("lr",)]
