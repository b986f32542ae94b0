"""Optimised Generalized AsyncSGD: its network, its bound and what it chooses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from vectors import assert_is, models_after, moved, vec
from world_runs import run, scenario

from afl_sim.errors import ScenarioError, ScheduleError
from afl_sim.strategies import OptimizedAsyncSGD
from afl_sim.strategies.methods import optimized_asyncsgd
from afl_sim.strategies.toolkit import routing
from afl_sim.theory.formulas import mean_queue, network_rate

TIMES = np.array([0.5, 1.0, 2.0, 0.7])
P = np.array([0.3, 0.4, 0.1, 0.2])


@pytest.mark.parametrize("m", [2, 3, 7])
def test_rates_and_queues_are_those_of_buzens_sums(m: int) -> None:
    found = routing.network(TIMES, P, m)
    ratios = [float(ratio) for ratio in P * TIMES]
    assert found.rate == pytest.approx(network_rate(m, ratios))
    expected = [mean_queue(client, m - 1, ratios) for client in range(4)]
    np.testing.assert_allclose(found.queues, expected)


def test_one_task_finds_every_queue_empty() -> None:
    found = routing.network(TIMES, P, 1)
    assert found.rate == pytest.approx(1 / float(P @ TIMES))
    assert not found.queues.any()


@pytest.mark.parametrize(("m", "accuracy"), [(1, 0.1), (3, 0.01), (9, 1e-4)])
def test_the_step_size_is_the_best_one(m: int, accuracy: float) -> None:
    found = routing.network(TIMES, P, m)
    quality, eta = routing.step_quality(found, m, accuracy)
    a = float(np.sum(1 / (16 * P)))
    b = m * float(np.sum(found.queues / P / (16 * P)))  # E[D_i] / (n^2 p_i)
    others = [
        step * (accuracy - step * a - step * step * b) for step in eta * np.linspace(0, 2, 99)
    ]
    assert quality == pytest.approx(max(others))


@pytest.mark.parametrize(("m", "accuracy"), [(1, 0.1), (3, 0.01), (9, 1e-4)])
def test_the_derivative_is_that_of_finite_differences(m: int, accuracy: float) -> None:
    def speed_at(log_p: Any) -> float:
        p = np.exp(log_p) / np.exp(log_p).sum()
        return routing.speed(TIMES, p, m, accuracy)

    value, gradient = routing._gradient(TIMES, P, m, accuracy)
    assert value == pytest.approx(speed_at(np.log(P)))
    for client, step in enumerate(1e-6 * np.eye(4)):
        slope = (speed_at(np.log(P) + step) - speed_at(np.log(P) - step)) / 2e-6
        assert gradient[client] == pytest.approx(slope, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("m", [1, 4, 8])
def test_no_other_routing_is_faster(m: int) -> None:
    best = np.array(routing.best_routing(list(TIMES), m, 1e-3))
    reached = routing.speed(TIMES, best, m, 1e-3)
    draws = np.random.default_rng(1)
    near = best * np.exp(0.05 * draws.normal(size=(200, 4)))
    for p in [*draws.dirichlet(np.ones(4), 200), *(near / near.sum(1, keepdims=True))]:
        assert routing.speed(TIMES, p, m, 1e-3) <= reached * (1 + 1e-5)


def test_equal_clients_are_drawn_alike() -> None:
    np.testing.assert_allclose(routing.best_routing([3.0] * 5, 4, 1e-3), 0.2, rtol=1e-3)


def test_fast_clients_are_drawn_more_often_but_not_in_proportion() -> None:
    p = routing.best_routing([1.0, 4.0], 3, 1e-3)
    assert 1 < p[0] / p[1] < 4


@pytest.mark.parametrize("accuracy", [0.1, 1e-3, 1e-5])
def test_no_other_number_of_tasks_is_faster(accuracy: float) -> None:
    times = list(TIMES)
    m, p = routing.best_concurrency(times, accuracy, 8)
    reached = routing.speed(TIMES, np.array(p), m, accuracy)
    for other in range(1, 9):
        q = np.array(routing.best_routing(times, other, accuracy))
        assert routing.speed(TIMES, q, other, accuracy) <= reached * (1 + 1e-4)


def test_a_finer_accuracy_bears_more_tasks() -> None:
    chosen = [routing.best_concurrency(list(TIMES), e, 8)[0] for e in (1, 0.01, 1e-5)]
    assert chosen == sorted(chosen)
    assert chosen[0] < chosen[-1]


def test_it_is_faster_than_asynchronous_sgd_with_a_task_for_each_client() -> None:
    # The papers' claim, in the model itself: uniform routing and m = n take longer.
    times = [1.0] * 4 + [4.0] * 4
    m, p = routing.best_concurrency(times, 1e-3, 16)
    seconds, uniform = np.array(times), np.full(8, 1 / 8)
    gain = routing.speed(seconds, np.array(p), m, 1e-3) / routing.speed(seconds, uniform, 8, 1e-3)
    assert gain > 1.1


def test_a_gradient_makes_a_step_of_eta_over_n_p() -> None:
    strategy = OptimizedAsyncSGD(lr=0.5)
    (model,) = models_after(strategy, vec(1, 1), ([moved(2, 0)], {"factor": 1.5}))
    assert_is(model, 2.5, 1)


EXPONENTIAL = {"jitter": {"dist": "expon"}}


def test_a_run_has_the_rate_and_the_shares_that_were_predicted() -> None:
    times = [1.0, 1.0, 4.0]
    strategy = OptimizedAsyncSGD(accuracy=1e-3)
    m, p = strategy.routing(times)
    outcome = run(
        scenario(
            3,
            strategy=strategy.model_dump(),
            compute={"seconds_per_task": {"values": times}, **EXPONENTIAL},
            stop={"updates": 4000},
        )
    )
    rows = outcome.of("aggregated")
    predicted = routing.network(np.array(times), np.array(p), m)
    assert 4000 / (outcome.ending.time_us / 1e6) == pytest.approx(predicted.rate, rel=0.05)
    shares = [np.mean([row.client == client for row in rows]) for client in range(3)]
    np.testing.assert_allclose(shares, p, atol=0.03)
    assert np.mean([row.staleness for row in rows]) == pytest.approx(m - 1, abs=0.05)
    for row in rows[:50]:
        assert json.loads(row.context or "{}")["factor"] == pytest.approx(1 / (3 * p[row.client]))


def test_the_same_fleet_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run, or one with another learning rate, asks for the same routing again."""
    times = [1.0, 1.0, 4.0, 1.5]
    first = OptimizedAsyncSGD(accuracy=1e-3, lr=0.1).routing(times)
    first[1][0] = 0.0  # what the caller does with the list changes nothing
    monkeypatch.setattr(optimized_asyncsgd, "best_concurrency", None)
    m, p = OptimizedAsyncSGD(accuracy=1e-3, lr=0.2).routing(times)
    assert m == first[0]
    assert p == routing.best_concurrency(times, 1e-3, 8)[1]
    with pytest.raises(TypeError):
        OptimizedAsyncSGD(accuracy=1e-2).routing(times)


def test_tasks_without_time_are_refused() -> None:
    with pytest.raises(ScheduleError, match="needs tasks that take time, and client 1's take none"):
        run(scenario([1, 0], strategy={"kind": "optimized_asyncsgd"}, stop={"versions": 3}))


def test_check_finds_a_fleet_that_is_too_large_to_search() -> None:
    assert [path for path, _ in OptimizedAsyncSGD().check(1001)] == [("kind",)]
    assert not list(OptimizedAsyncSGD().check(1000))


def test_a_server_optimizer_is_refused() -> None:
    with pytest.raises(ScenarioError, match="optimized_asyncsgd takes none"):
        OptimizedAsyncSGD(server_optimizer="FedAdam")
