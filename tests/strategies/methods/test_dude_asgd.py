"""DuDe-ASGD: the mean of all last gradients, renewed by c workers at a time, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vectors import assert_is, models_after, moved, server_steps, vec
from world_runs import Outcome, run, scenario

from afl_sim.strategies import ACED, DuDeASGD

FIRST = [moved(2, 0, client=0), moved(0, 4, client=1), moved(4, 2, client=2)]


def test_the_step_is_the_mean_of_all_last_gradients() -> None:
    models = models_after(
        DuDeASGD(lr=0.5, workers_per_step=2),
        vec(0, 0),
        FIRST,
        [moved(8, 0, client=0), moved(0, 1, client=2)],
    )
    assert_is(models[0], 1, 1)  # half of (6, 6) / 3
    # Half of ((8, 0) + (0, 4) + (0, 1)) / 3
    assert_is(models[1] - models[0], 4 / 3, 5 / 6)


def test_the_rule_is_the_papers_increment_on_any_sequence_of_arrivals() -> None:
    draws = np.random.default_rng(2)
    n, c, eta = 6, 2, 0.1
    sent = draws.normal(size=(n, 3)).astype("f4")
    rounds = [[moved(*(-sent[i]), client=i) for i in range(n)]]
    g = sent.mean(0, dtype="f8")
    w = -eta * g
    expected = [w.copy()]
    for _ in range(30):
        batch = []
        for j in draws.choice(n, c, replace=False):
            new = draws.normal(size=3).astype("f4")
            g = g + (new.astype("f8") - sent[j]) / n
            sent[j] = new
            batch.append(moved(*(-new), client=int(j), tau=int(draws.integers(9))))
        w = w - eta * g
        rounds.append(batch)
        expected.append(w.copy())
    found = models_after(DuDeASGD(lr=eta, workers_per_step=c), torch.zeros(3), *rounds, clients=n)
    np.testing.assert_allclose(torch.stack(found), expected, rtol=1e-4, atol=1e-5)


def test_with_one_worker_a_step_it_is_ace() -> None:
    rounds = [FIRST, *([moved(t, -t, client=t % 3)] for t in range(1, 9))]
    one = models_after(DuDeASGD(lr=0.3), vec(1, 2), *rounds)
    ace = models_after(ACED(lr=0.3, staleness_limit=None), vec(1, 2), *rounds)
    for dude, other in zip(one, ace, strict=True):
        torch.testing.assert_close(dude, other, rtol=1e-6, atol=1e-6)


def test_a_server_optimizer_gets_the_mean_gradient() -> None:
    optimizer = {"kind": "SGD", "lr": 0.5, "momentum": 0.5}
    strategy = DuDeASGD(server_optimizer=optimizer)
    models = server_steps(strategy, vec(0, 0), FIRST[:2], [moved(4, 0, client=0)])
    assert_is(models[0], 0.5, 1)  # 0.5 (1, 2)
    assert_is(models[1] - models[0], 1.25, 1.5)  # 0.5 ((2, 2) + 0.5 (1, 2))


def work(c: int, **stop: float) -> Outcome:
    strategy = {"kind": "dude_asgd", "workers_per_step": c}
    return run(scenario([1, 2.25, 3.5, 3.75], strategy=strategy, stop=stop))


def test_workers_wait_for_the_step_that_they_make() -> None:
    outcome = work(2, versions=4)
    rows = [(e.time_us / 1e6, e.client, e.version, e.staleness) for e in outcome.of("aggregated")]
    assert rows == [
        *((3.75, client, 1, 0) for client in range(4)),
        (6.0, 0, 2, 0),  # came at 4.75 s, and waited for client 1
        (6.0, 1, 2, 0),
        (7.25, 0, 3, 0),  # came at 7 s
        (7.25, 2, 3, 1),
        (8.25, 3, 4, 2),  # came at 7.5 s
        (8.25, 1, 4, 1),
    ]
    sent = [(e.time_us / 1e6, e.client, e.base_version) for e in outcome.of("dispatched")[4:]]
    assert sent == [
        *((3.75, client, 1) for client in range(4)),
        *((6.0, 0, 2), (6.0, 1, 2), (7.25, 0, 3), (7.25, 2, 3)),
    ]


def test_with_one_worker_a_step_nobody_waits_after_the_first() -> None:
    outcome = work(1, versions=5)
    rows = [(e.time_us / 1e6, e.client) for e in outcome.of("aggregated")[4:]]
    assert rows == [(4.75, 0), (5.75, 0), (6.0, 1), (6.75, 0)]


@pytest.mark.parametrize(("settings", "key"), [({"workers_per_step": 5}, "workers_per_step")])
def test_check_finds_more_workers_a_step_than_there_are(settings: dict, key: str) -> None:
    assert [path for path, _ in DuDeASGD(**settings).check(4)] == [(key,)]
    assert not list(DuDeASGD(**settings).check(5))


def test_check_finds_a_rate_beside_an_optimizer() -> None:
    strategy = DuDeASGD(lr=0.3, server_optimizer="FedAdam")
    assert [path for path, _ in strategy.check(4)] == [("lr",)]
