"""Port and ASO-Fed: weights of freshness and agreement; gradients balanced with earlier ones."""

from __future__ import annotations

import json
import math

import pytest
from vectors import assert_is, models_after, moved, step, trained, vec
from world_runs import Outcome, run, scenario

from afl_sim.strategies import ASOFed, Port
from afl_sim.streams import Streams


def test_fresh_updates_are_weighted_by_samples() -> None:
    # Both factors are 3 + 1: p = 1/4, 3/4.  (1, 1) + 1/4 (4, 0) + 3/4 (0, 4) = (2, 4)
    updates = [trained(4, 0, n=1), trained(0, 4, n=3)]
    assert_is(step(Port(), vec(1, 1), updates, {"before": vec(0, 0)}), 2, 4)


def test_a_stale_update_weighs_by_its_freshness_and_its_agreement() -> None:
    # S = 4. The last step moved the model by (1, 0) to (2, 0). The stale client's delta (0, 3) is
    # orthogonal: 3 * 4/(4 + 4) + (0 + 1)/2 = 2. The fresh one: 3 + 1 = 4.
    # p = (2/3, 1/3): (2, 0) + 2/3 (3, 0) + 1/3 (0, 3) = (4, 1)
    updates = [trained(5, 0, base=[2, 0]), trained(0, 3, tau=4)]
    assert_is(step(Port(staleness_bound=4), vec(2, 0), updates, {"before": vec(1, 0)}), 4, 1)


def test_an_update_against_the_models_last_move_weighs_by_its_freshness_alone() -> None:
    # cos = -1: 3 * 4/(4 + 4) + 0 = 3/2, against 4: p = (8/11, 3/11).
    updates = [trained(13, 0, base=[2, 0]), trained(-11, 0, tau=4)]
    model = step(Port(staleness_bound=4), vec(2, 0), updates, {"before": vec(0, 0)})
    assert_is(model, 2 + 8 - 3, 0)


def test_the_agreement_is_with_the_last_move_and_not_with_the_move_since_the_client_began() -> None:
    # From where the stale client began, (0, 0), the model has moved to (2, 0): no agreement. But it
    # was at (2, -1) before the last step, which was along the delta (0, 13): 3/2 + 1 = 5/2.
    updates = [trained(15, 0, base=[2, 0]), trained(0, 13, tau=4)]
    model = step(Port(staleness_bound=4), vec(2, 0), updates, {"before": vec(2, -1)})
    assert_is(model, 2 + 8, 5)  # p = (8/13, 5/13)


def test_the_agreement_of_an_update_that_missed_one_version_counts_as_full() -> None:
    # S = 3: 3 * 3/4 + 1 = 13/4 against 4, though the delta is against the move: p = (16/29, 13/29).
    updates = [trained(31, 0, base=[2, 0]), trained(-29, 0, tau=1)]
    model = step(Port(staleness_bound=3), vec(2, 0), updates, {"before": vec(0, 0)})
    assert_is(model, 2 + 16 - 13, 0)


def test_the_last_move_is_that_of_the_global_model() -> None:
    # (0, 0), then (2, 0), then (2, 4) with the second client's delta against the first step's.
    port = Port(staleness_bound=4, staleness_weight=0)
    first, second, third = models_after(
        port,
        vec(0, 0),
        [trained(2, 0)],
        [trained(2, 4, base=[2, 0])],
        [trained(4, 4, base=[2, 4]), trained(0, -5, tau=2)],
    )
    assert_is(first, 2, 0)
    assert_is(second, 2, 4)
    # The last move is (0, 4): the stale client is against it and has no weight.
    assert_is(third, 4, 4)


def test_either_weight_can_be_switched_off() -> None:
    updates = [trained(5, 0, base=[2, 0]), trained(0, 3, tau=4)]
    state = {"before": vec(1, 0)}
    # Freshness alone: 3 and 3/2.
    fresh = Port(staleness_bound=4, similarity_weight=0)
    assert_is(step(fresh, vec(2, 0), updates, state), 2 + 2, 1)
    # Agreement alone: 1 and 1/2, by (0 + 1)/2.
    alike = Port(staleness_bound=4, staleness_weight=0)
    assert_is(step(alike, vec(2, 0), updates, state), 2 + 2, 1)


def test_the_defaults_are_those_of_the_authors_group() -> None:
    port = Port()
    assert (port.staleness_weight, port.similarity_weight, port.staleness_bound) == (3, 1, 10)


def work(seconds: list, bound: int, buffer: int = 1, **stop: float) -> Outcome:
    strategy = {
        "kind": "port",
        "concurrency": "all",
        "buffer_size": buffer,
        "staleness_bound": bound,
    }
    compute = {"seconds_per_step": 0, "jitter_seconds": {"values": seconds}}
    return run(
        scenario(
            len(seconds),
            compute=compute,
            strategy=strategy,
            training={"steps": 10},
            stop=dict(stop),
        )
    )


def test_a_client_beyond_the_bound_is_told_to_report_what_it_has() -> None:
    # Client 0 makes a version each second. At 3 s client 1, sent version 0, has a staleness of 2,
    # at 4 s one of 3: of its 10 steps in 20 s it has done 2.
    outcome = work([1, 20], bound=2, versions=4)
    rows = [
        (e.time_us // 1_000_000, e.client, e.staleness, e.steps) for e in outcome.of("aggregated")
    ]
    fresh = [(second, 0, 0, 10) for second in (1, 2, 3, 4)]
    assert rows == [*fresh, (4, 1, 3, 2)]


def test_a_client_that_has_done_no_step_is_let_off() -> None:
    outcome = work([1, 1000], bound=1, versions=4)
    assert [e.client for e in outcome.of("aggregated")] == [0] * 4
    assert {e.client for e in outcome.of("discarded")} == {1}


@pytest.mark.parametrize("bound", [1, 2, 4])
def test_no_staleness_exceeds_the_bound_by_two_on_schedules_full_of_ties(bound: int) -> None:
    draws = Streams(3).generator("test")
    seconds = [{"sequence": [int(s) for s in draws.integers(1, 9, size=30)]} for _ in range(8)]
    outcome = work(seconds, bound, buffer=2, virtual_seconds=60)
    assert max(e.staleness for e in outcome.of("aggregated")) <= bound + 1


def test_port_waits_for_its_buffer_and_replaces_after_the_aggregation() -> None:
    outcome = work([1, 2, 5], bound=10, buffer=2, versions=2)
    rows = [(e.time_us // 1_000_000, e.client) for e in outcome.of("aggregated")]
    assert rows == [(2, 0), (2, 1), (4, 0), (4, 1)]
    assert [e.time_us // 1_000_000 for e in outcome.of("dispatched")] == [0, 0, 0, 2, 2]


def test_check_finds_what_does_not_fit() -> None:
    assert [p for p, _ in Port(concurrency=2, buffer_size=3).check(5)] == [("buffer_size",)]
    nothing = Port(staleness_weight=0, similarity_weight=0)
    assert [p for p, _ in nothing.check(50)] == [("staleness_weight",)]
    assert [p for p, _ in ASOFed(concurrency=3).check(2)] == [("concurrency",)]


STEPS = {"step": {0: 1.0, 1: 2.0}}


def test_asofeds_first_arrival_counts_by_its_share() -> None:
    # n = (1, 3): (1, 1) + 1/4 (4, 8)
    entry = ([moved(4, 8, n=1, client=0)], STEPS)
    (model,) = models_after(ASOFed(), vec(1, 1), entry, samples=[1, 3])
    assert_is(model, 2, 3)


def test_asofed_balances_a_gradient_with_the_clients_last_and_decayed_one() -> None:
    strategy = ASOFed(shares="uniform", decay=0.5)
    models = models_after(
        strategy,
        vec(0),
        ([moved(4, client=0)], STEPS),
        ([moved(6, client=0)], STEPS),
        ([moved(2, client=0)], STEPS),
        clients=1,
    )
    # In deltas: zeta = d - v + h.  4 - 0 + 0 = 4;  h = 0, v = 4.
    assert_is(models[0], 4)
    # 6 - 4 + 0 = 2;  h = 0/2 + 4/2 = 2, v = 6.
    assert_is(models[1], 4 + 2)
    # 2 - 6 + 2 = -2
    assert_is(models[2], 6 - 2)


def test_asofed_multiplies_by_the_step_and_keeps_clients_apart() -> None:
    models = models_after(
        ASOFed(shares="uniform"),
        vec(0, 0),
        ([moved(4, 0, client=0)], STEPS),
        ([moved(0, 4, client=1)], STEPS),
    )
    assert_is(models[1], 2, 4)  # 1/2 * 1 * 4 and 1/2 * 2 * 4


def test_asofeds_step_grows_with_the_mean_duration() -> None:
    outcome = run(scenario([[2, 60], 20], strategy={"kind": "asofed"}, stop={"updates": 3}))
    steps = [json.loads(e.context or "")["step"] for e in outcome.of("aggregated")]
    assert steps == [
        {"0": 1.0},  # log 2 < 1
        {"1": pytest.approx(math.log(20))},
        {"1": pytest.approx(math.log(20))},
    ]
    # At 62 s: the mean of 2 and 60 s.
    later = run(scenario([[2, 60], 500], strategy={"kind": "asofed"}, stop={"updates": 2}))
    assert json.loads(later.of("aggregated")[1].context or "")["step"] == {
        "0": pytest.approx(math.log(31))
    }
    assert ASOFed(regularization=0.3).proximal == 0.3
