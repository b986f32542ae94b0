"""FedFa: the mean of a queue of models, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vectors import assert_is, models_after, trained, vec
from world_runs import run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.strategies import FedFa


def test_the_model_is_the_mean_of_the_last_k_models() -> None:
    models = models_after(
        FedFa(queue_size=3),
        vec(7, 7),
        [trained(3, 0, client=0), trained(0, 6, client=1), trained(3, 3, client=0)],
        [trained(6, 0, client=2)],
        [trained(0, 0, client=2)],
    )
    assert_is(models[0], 2, 3)
    assert_is(models[1], 3, 3)  # (3, 0) has left the queue
    assert_is(models[2], 3, 1)  # (0, 6) has left it too


def test_models_count_alike_however_stale_and_however_many_samples() -> None:
    batch = [trained(4, 0, n=100, tau=0), trained(0, 4, n=1, tau=9)]
    assert_is(models_after(FedFa(queue_size=2), vec(0, 0), batch)[0], 2, 2)


def test_the_rule_is_the_papers_on_any_sequence_of_arrivals() -> None:
    arriving = np.random.default_rng(3).normal(size=(20, 3)).astype("f4")
    first = [trained(*model) for model in arriving[:4]]
    later = [[trained(*model)] for model in arriving[4:]]
    found = models_after(FedFa(queue_size=4), torch.zeros(3), first, *later)
    expected = [arriving[end - 4 : end].mean(0) for end in range(4, 21)]
    np.testing.assert_allclose(torch.stack(found), expected, rtol=1e-5, atol=1e-6)


def test_a_queue_of_one_is_the_last_model() -> None:
    models = models_after(FedFa(queue_size=1), vec(0, 0), [trained(3, 4)], [trained(5, 6)])
    assert_is(models[1], 5, 6)


def test_the_queue_is_filled_once_and_then_each_arrival_makes_a_version() -> None:
    strategy = {"kind": "fedfa", "concurrency": "all", "queue_size": 3}
    outcome = run(scenario([1, 2.5, 4.25], strategy=strategy, stop={"versions": 4}))
    rows = [(e.time_us / 1e6, e.client, e.version, e.staleness) for e in outcome.of("aggregated")]
    # Client 0 comes at 1, 2, 3 and 4 s, client 1 at 2.5 and 5 s, client 2 at 4.25 s.
    assert rows == [
        (2.5, 0, 1, 0),
        (2.5, 0, 1, 0),
        (2.5, 1, 1, 0),
        (3.0, 0, 2, 1),  # sent at 2 s
        (4.0, 0, 3, 0),
        (4.25, 2, 4, 3),
    ]
    sent = [(e.time_us / 1e6, e.client, e.base_version) for e in outcome.of("dispatched")[3:]]
    assert sent == [(1.0, 0, 0), (2.0, 0, 0), (2.5, 1, 1), (3.0, 0, 2), (4.0, 0, 3)]


def test_a_server_optimizer_is_refused_because_a_mean_of_models_is_no_step() -> None:
    with pytest.raises(ScenarioError, match="fedfa takes none"):
        FedFa(server_optimizer="FedAdam")


def test_check_finds_a_concurrency_beyond_the_clients() -> None:
    assert not list(FedFa(concurrency=2, queue_size=30).check(5))
    assert [path for path, _ in FedFa(concurrency=6).check(5)] == [("concurrency",)]
