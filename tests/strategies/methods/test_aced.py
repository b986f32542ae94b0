"""ACE and ACED: the mean of the gradients that are recent, worked out by hand and in NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from vectors import assert_is, models_after, moved, vec
from world_runs import run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.strategies import ACED, IA2SGD, Update

FIRST = [moved(2, 0, client=0), moved(0, 4, client=1), moved(4, 2, client=2)]
"""Minus the gradients of three clients at the initial model."""


def at(version: int, *delta: float, client: int, tau: int) -> Update:
    """Minus a gradient that is used at this version, computed tau versions before."""
    return replace(moved(*delta, client=client, tau=tau), base_version=version - tau)


def aced(**settings: Any) -> ACED:
    return ACED(**{"lr": 1.0, "staleness_limit": 2, **settings})


def test_the_first_step_is_the_mean_of_all_clients() -> None:
    assert_is(models_after(aced(), vec(0, 0), FIRST)[0], 2, 2)


def test_a_gradient_counts_while_its_version_is_recent() -> None:
    models = models_after(
        aced(),
        vec(0, 0),
        FIRST,
        [at(1, 6, 0, client=0, tau=0)],
        [at(2, 8, 0, client=0, tau=0)],
        [at(3, 9, 3, client=0, tau=0)],
    )
    # t = 1: all three; the cache is (6, 0), (0, 4), (4, 2).
    assert_is(models[1] - models[0], 10 / 3, 2)
    # t = 2: those computed at version 0 are two versions old, which still counts.
    assert_is(models[2] - models[1], 4, 2)
    # t = 3: A(3) is client 0 alone.
    assert_is(models[3] - models[2], 9, 3)


def test_a_gradient_that_is_too_old_when_it_arrives_counts_for_nobody() -> None:
    models = models_after(
        aced(),
        vec(0, 0),
        FIRST,
        *([at(t, 1, 1, client=0, tau=0)] for t in (1, 2, 3)),
        [at(4, 100, 100, client=1, tau=4)],
    )
    # A(4) is client 0, whose gradient is of version 3.
    assert_is(models[4] - models[3], 1, 1)


def test_the_model_stays_while_no_gradient_is_recent() -> None:
    models = models_after(aced(staleness_limit=0), vec(1, 1), FIRST, [at(1, 6, 0, client=0, tau=1)])
    assert_is(models[1], *models[0].tolist())


def test_a_client_that_returns_with_a_recent_gradient_counts_again() -> None:
    models = models_after(
        aced(staleness_limit=1),
        vec(0, 0),
        FIRST,
        *([at(t, 1, 1, client=0, tau=0)] for t in (1, 2, 3)),
        [at(4, 5, 3, client=1, tau=1)],
    )
    # t = 4: client 0 (version 3) and client 1 (version 3); ((1, 1) + (5, 3)) / 2
    assert_is(models[4] - models[3], 3, 2)


def test_by_the_age_of_tasks_a_client_counts_until_its_task_is_late() -> None:
    models = models_after(
        aced(age="task"),
        vec(0, 0),
        FIRST,
        [at(1, 6, 0, client=0, tau=1)],
        [at(2, 8, 0, client=0, tau=0)],
        [at(3, 9, 3, client=0, tau=0)],
        [at(4, 3, 3, client=1, tau=4)],
    )
    # Client 2 came last, and has the model of version 1 since then; client 1 has that of version 0.
    assert_is(models[2] - models[1], (8 + 0 + 4) / 3, (0 + 4 + 2) / 3)
    # t = 3: client 1's task is three versions old, client 2's two.
    assert_is(models[3] - models[2], (9 + 4) / 2, (3 + 2) / 2)
    # t = 4: client 1's gradient is old, but it has come; client 2's task is late.
    assert_is(models[4] - models[3], (9 + 3) / 2, (3 + 3) / 2)


def test_ace_is_the_mean_of_all_last_gradients_as_in_ia2sgd() -> None:
    rounds = [FIRST, *([at(t, t, -t, client=t % 3, tau=t - 1)] for t in range(1, 9))]
    ace = models_after(ACED(lr=0.3, staleness_limit=None), vec(1, 2), *rounds)
    ia2sgd = models_after(IA2SGD(lr=0.3), vec(1, 2), *rounds)
    for one, other in zip(ace, ia2sgd, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("limit", [0, 1, 3, None])
def test_the_rule_is_the_papers_on_any_sequence_of_arrivals(limit: int | None) -> None:
    draws = np.random.default_rng(5)
    clients, lr = 5, 0.1
    gradients = draws.normal(size=(60, clients + 1, 3)).astype("f4")
    rounds = [[moved(*(-gradients[0, i]), client=i) for i in range(clients)]]
    w = np.zeros(3)
    cache = {i: (gradients[0, i].astype("f8"), 0) for i in range(clients)}
    w -= lr * np.mean([u for u, _ in cache.values()], axis=0)
    expected = [w.copy()]
    for t in range(1, 40):
        i, tau = int(draws.integers(clients)), int(draws.integers(0, min(t, 6) + 1))
        rounds.append([at(t, *(-gradients[t, i]), client=i, tau=tau)])
        cache[i] = (gradients[t, i].astype("f8"), t - tau)
        recent = [u for u, t_i in cache.values() if limit is None or t - t_i <= limit]
        if recent:
            w -= lr * np.mean(recent, axis=0)
        expected.append(w.copy())
    found = models_after(
        ACED(lr=lr, staleness_limit=limit), torch.zeros(3), *rounds, clients=clients
    )
    np.testing.assert_allclose(torch.stack(found), expected, rtol=1e-4, atol=1e-5)


def test_the_first_version_needs_a_gradient_of_each_and_then_each_arrival_makes_one() -> None:
    outcome = run(scenario([1, 2.25, 3.5], strategy={"kind": "aced"}, stop={"versions": 4}))
    rows = [(e.time_us / 1e6, e.client, e.version, e.staleness) for e in outcome.of("aggregated")]
    # Client 0 comes at 1, 2, 3, 4 and 5 s, client 1 at 2.25 and 4.5 s, client 2 at 3.5 s.
    assert rows == [
        *((3.5, client, 1, 0) for client in (0, 0, 1, 0, 2)),
        (4.0, 0, 2, 1),  # sent at 3 s
        (4.5, 1, 3, 2),  # sent at 2.25 s
        (5.0, 0, 4, 1),
    ]
    sent = [(e.time_us / 1e6, e.client, e.base_version) for e in outcome.of("dispatched")[3:]]
    assert sent == [
        (1.0, 0, 0),
        (2.0, 0, 0),
        (2.25, 1, 0),
        (3.0, 0, 0),
        (3.5, 2, 1),  # after the step that it made possible
        (4.0, 0, 2),
        (4.5, 1, 3),
    ]


def test_a_server_optimizer_is_refused_because_a_step_may_be_left_out() -> None:
    with pytest.raises(ScenarioError, match="aced takes none"):
        ACED(server_optimizer="FedAdam")
