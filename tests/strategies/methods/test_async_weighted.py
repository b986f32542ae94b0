"""Fraboni's weights: asynchronous FedAvg and FedFix that favour nobody."""

from __future__ import annotations

import json

import pytest
from vectors import assert_is, models_after, moved, vec
from world_runs import run, scenario

from afl_sim.errors import ScheduleError
from afl_sim.strategies import AsyncWeighted, FedFix

SLOWNESS = {"slowness": {0: 1.5, 1: 3.0}}  # tau_i (1/tau_0 + 1/tau_1) for tau = (1, 2)


def test_a_delta_is_weighted_by_its_clients_share_and_slowness() -> None:
    # p = 1/4 and 3/4: d_0 = 1.5/4 = 0.375, d_1 = 3 * 3/4 = 2.25
    models = models_after(
        AsyncWeighted(),
        vec(1, 1),
        ([moved(8, 0, n=1, client=0)], SLOWNESS),
        ([moved(0, 4, n=3, client=1)], SLOWNESS),
        samples=[1, 3],
    )
    assert_is(models[0], 4, 1)
    assert_is(models[1], 4, 10)


def test_shares_can_be_uniform() -> None:
    # p = 1/2: d_1 = 3/2, whatever the client holds
    strategy = AsyncWeighted(shares="uniform")
    (model,) = models_after(
        strategy, vec(0, 0), ([moved(2, 4, n=3, client=1)], SLOWNESS), samples=[1, 3]
    )
    assert_is(model, 3, 6)


def test_identical_weights_are_one() -> None:
    strategy = AsyncWeighted(weights="identical", server_lr=0.5)
    (model,) = models_after(strategy, vec(0, 0), [moved(2, 4, n=7)])
    assert_is(model, 1, 2)


def test_the_schedule_passes_each_arrivals_slowness() -> None:
    # tau = (2, 3): sum 1/tau = 5/6, so 2 * 5/6 = 5/3 and 3 * 5/6 = 5/2.
    outcome = run(
        scenario(
            2,
            compute={"seconds_per_task": {"values": [2, 3]}},
            strategy={"kind": "async_weighted"},
            stop={"updates": 4},
        )
    )
    rows = [(e.time_us // 1_000_000, e.client, e.staleness) for e in outcome.of("aggregated")]
    assert rows == [(2, 0, 0), (3, 1, 1), (4, 0, 1), (6, 1, 1)]
    weights = [json.loads(e.context or "")["slowness"] for e in outcome.of("aggregated")][:2]
    assert weights == [{"0": pytest.approx(5 / 3)}, {"1": pytest.approx(5 / 2)}]


def test_weighted_by_slowness_all_clients_count_alike_in_the_long_run() -> None:
    # share_i of the arrivals times d_i is p_i: with one of tau = 1 and one of tau = 4, 4/5 of the
    # arrivals at 5/4 / 2 against 1/5 of them at 5 / 2.
    outcome = run(
        scenario(
            2,
            compute={"seconds_per_task": {"values": [1, 4]}},
            strategy={"kind": "async_weighted"},
            stop={"virtual_seconds": 400.5},
        )
    )
    total = {0: 0.0, 1: 0.0}
    for e in outcome.of("aggregated"):
        total[e.client] += json.loads(e.context or "")["slowness"][str(e.client)] / 2
    assert total[0] == pytest.approx(total[1])


def test_tasks_that_take_no_time_have_no_weights() -> None:
    built = scenario(
        2, compute={"seconds_per_task": 0}, strategy={"kind": "async_weighted"}, stop={"updates": 4}
    )
    with pytest.raises(
        ScheduleError, match="async_weighted: weights: unbiased needs tasks that take"
    ):
        run(built)


def test_fedfix_weighs_by_share_and_intervals() -> None:
    # d_0 = 1 * 1/4, d_1 = 2 * 3/4:  (1, 1) + 1/4 (4, 0) + 3/2 (0, 2) = (2, 4)
    context = {"periods": {0: 1, 1: 2}}
    batch = [moved(4, 0, n=1, client=0), moved(0, 2, n=3, client=1)]
    (model,) = models_after(FedFix(), vec(1, 1), (batch, context), samples=[1, 3])
    assert_is(model, 2, 4)


def test_fedfix_of_one_update_does_not_renormalise() -> None:
    # Only client 0 arrived: its share is still 1/4.
    entry = ([moved(4, 8, n=1, client=0)], {"periods": {0: 1}})
    (model,) = models_after(FedFix(), vec(0, 0), entry, samples=[1, 3])
    assert_is(model, 1, 2)


def test_fedfix_scales_by_the_server_learning_rate() -> None:
    entry = ([moved(4, 8, client=0)], {"periods": {0: 3}})
    strategy = FedFix(shares="uniform", server_lr=0.5)
    (model,) = models_after(strategy, vec(0, 0), entry, clients=2)
    assert_is(model, 3, 6)  # 0.5 * 3 * 1/2


def test_fedfix_counts_tasks_that_take_no_time_once_in_an_interval() -> None:
    outcome = run(
        scenario(2, compute={"seconds_per_task": 0}, strategy="fedfix", stop={"versions": 1})
    )
    (context,) = {e.context for e in outcome.of("aggregated")}
    assert json.loads(context or "") == {"periods": {"0": 1, "1": 1}}


def test_fedfix_aggregates_at_fixed_times_what_has_arrived() -> None:
    # tau = (1, 2.5) and an interval of 2: client 0 in every one, client 1 in every second.
    outcome = run(
        scenario(
            2,
            compute={"seconds_per_task": {"values": [1, 2.5]}},
            strategy={"kind": "fedfix", "interval": 2},
            stop={"virtual_seconds": 8.5},
        )
    )
    rows = [(e.time_us // 1_000_000, e.client, e.staleness) for e in outcome.of("aggregated")]
    assert rows == [(2, 0, 0), (4, 1, 1), (4, 0, 0), (6, 0, 0), (8, 1, 1), (8, 0, 0)]
    contexts = [json.loads(e.context or "")["periods"] for e in outcome.of("aggregated")]
    assert contexts[0] == {"0": 1}
    assert contexts[1] == {"0": 1, "1": 2}
    # Clients wait for the aggregation and go on at its model.
    sent = [(e.time_us // 1_000_000, e.base_version) for e in outcome.of("dispatched")][2:]
    assert sent == [(2, 1), (4, 2), (4, 2), (6, 3), (8, 4), (8, 4)]


def test_a_task_of_exactly_one_interval_counts_once() -> None:
    outcome = run(
        scenario(
            1,
            compute={"seconds_per_task": 0.3},
            strategy={"kind": "fedfix", "interval": 0.1},
            stop={"versions": 2},
        )
    )
    # 0.3 / 0.1 is a little below 3 in floating point, 0.1 * 3 a little above 0.3.
    assert [e.time_us for e in outcome.of("aggregated")] == [300_000, 600_000]
    assert all(json.loads(e.context or "")["periods"] == {"0": 3} for e in outcome.of("aggregated"))
