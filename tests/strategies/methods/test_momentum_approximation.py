"""Momentum approximation: the two factors that come nearest to a momentum, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from vectors import assert_is, models_after, vec
from world_runs import run, scenario

from afl_sim.strategies import MomentumApproximation, Update


def computed_at(base: int, version: int, *delta: float) -> Update:
    """An update that was computed at one version and is used for the next one after another."""
    step = vec(*delta)
    return Update(0, base, version - base, 1, 1, step, torch.full_like(step, torch.nan), 1.0)


HALF = MomentumApproximation(buffer_size=1, momentum=0.5)


def test_without_staleness_it_is_the_momentum_from_the_second_step_on() -> None:
    # m_0 = r_0 has the weight 1, where momentum wants 1/2. At t = 1 the wanted weights are 1/4 and
    # 1/2: u = 1/2, v = 1/4, m_1 = (2, 0) / 4 + (0, 4) / 2 = (0.5, 2). From then on all is as with
    # momentum: u = v = 1/2, m_2 = (0.25, 1) + (1, 0) / 2.
    rounds = [[computed_at(t, t, *d)] for t, d in enumerate([(2, 0), (0, 4), (1, 0)])]
    models = models_after(HALF, vec(0, 0), *rounds)
    assert_is(models[0], 2, 0)
    assert_is(models[1] - models[0], 0.5, 2)
    assert_is(models[2] - models[1], 0.75, 1)


def test_the_factors_are_the_least_squares_solution() -> None:
    # K = 2. At t = 0 both are fresh: h_0 = {0: 1}. At t = 1 one is fresh and one stale:
    # W_1 = {0: 1/2, 1: 1/2}. Wanted is {0: 1/4, 1: 1/2}, which u = 1 and v = -1/4 give exactly.
    strategy = MomentumApproximation(buffer_size=2, momentum=0.5)
    first = [computed_at(0, 0, 4, 0), computed_at(0, 0, 0, 4)]
    second = [computed_at(0, 1, 2, 2), computed_at(1, 1, 6, 0)]
    models = models_after(strategy, vec(0, 0), first, second)
    assert_is(models[0], 2, 2)
    # (4, 1) - (2, 2) / 4
    assert_is(models[1] - models[0], 3.5, 0.5)


def test_of_several_solutions_the_shortest_is_taken() -> None:
    # Both steps are of updates of version 0, so only u + v = 1/4 is determined.
    rounds = [[computed_at(0, 0, 8, 0)], [computed_at(0, 1, 0, 8)]]
    models = models_after(HALF, vec(0, 0), *rounds)
    assert_is(models[1] - models[0], 1, 1)


def test_a_stale_update_weighs_less_if_its_weight_is_smaller() -> None:
    halved = MomentumApproximation(
        buffer_size=1, momentum=0.5, staleness={"kind": "polynomial", "exponent": 1}
    )
    # W_1 = {0: 1/2} and h_0 = {0: 1}: (u, v) = s (1, 2), and s (1/2 + 2) = 1/4, so s = 1/10.
    rounds = [[computed_at(0, 0, 10, 0)], [computed_at(0, 1, 0, 20)]]
    models = models_after(halved, vec(0, 0), *rounds)
    assert_is(models[1] - models[0], 2, 1)  # r_1 = (0, 10)


def test_the_server_learning_rate_scales_every_step() -> None:
    strategy = MomentumApproximation(buffer_size=1, momentum=0.5, server_lr=2)
    rounds = [[computed_at(0, 0, 2, 0)], [computed_at(1, 1, 0, 4)]]
    models = models_after(strategy, vec(0, 0), *rounds)
    assert_is(models[1] - models[0], 1, 4)


def test_momentum_0_is_the_last_sum_if_nothing_is_stale() -> None:
    plain = MomentumApproximation(buffer_size=1, momentum=0)
    rounds = [[computed_at(t, t, float(t), 1)] for t in range(4)]
    models = models_after(plain, vec(0, 0), *rounds)
    assert_is(models[3] - models[2], 3, 1)


def solved(rounds: Sequence[Sequence[Update]], beta: float, size: int) -> list[np.ndarray]:
    """The momenta by matrices over the whole history, and NumPy's least squares."""
    matrix = np.zeros((len(rounds), len(rounds)))
    momenta: list[np.ndarray] = []
    h = np.zeros(len(rounds))
    for t, updates in enumerate(rounds):
        for update in updates:
            matrix[t, update.base_version] += 1 / size
        r = np.sum([update.delta.numpy().astype(float) for update in updates], axis=0) / size
        wanted = np.array([(1 - beta) * beta ** (t - s) for s in range(t + 1)])
        u, v = 1.0, 0.0
        if momenta:
            both = np.stack([matrix[t, : t + 1], h[: t + 1]], axis=1)
            u, v = np.linalg.lstsq(both, wanted, rcond=None)[0]
        h = u * matrix[t] + v * h
        momenta.append(u * r + (v * momenta[-1] if momenta else 0))
    return momenta


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_it_is_the_rule_of_the_matrices_on_any_sequence_of_arrivals(beta: float) -> None:
    draws = np.random.default_rng(5)
    rounds = [
        [
            computed_at(t - min(t, int(draws.geometric(0.4)) - 1), t, *draws.normal(size=3))
            for _ in range(3)
        ]
        for t in range(25)
    ]
    strategy = MomentumApproximation(buffer_size=3, momentum=beta)
    models = models_after(strategy, torch.zeros(3), *rounds)
    expected = np.cumsum(solved(rounds, beta, 3), axis=0)
    np.testing.assert_allclose(torch.stack(models), expected, rtol=2e-4, atol=2e-5)


def test_the_schedule_is_that_of_fedbuff() -> None:
    settings = {"concurrency": 3, "buffer_size": 2}
    stop = {"virtual_seconds": 30}
    durations = [[1, 4], 2.5, [3, 1], 5]
    one, other = (
        run(scenario(durations, strategy={"kind": kind, **settings}, stop=stop))
        for kind in ("momentum_approximation", "fedbuff")
    )
    assert one.schedule_digest == other.schedule_digest
