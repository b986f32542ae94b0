"""Staleness with a constant number of tasks in flight: what holds on every path, and on average.

With m tasks in flight and one update in a version, each version makes the m - 1 other tasks older
by one. So completed delays and ages in flight add up to (m - 1) times the versions, on every path,
and the mean delay is m - 1 whatever the service law. A buffer of K makes it (m - 1) / K.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from intervals import Comparisons
from timing import LAWS, Updates, replicated, updates_of

# A fleet with fast and slow clients; the law is that of each task around the client's own mean.
SPREAD = {"values": [0.2, 0.5, 1.0, 1.0, 2.0, 4.0, 0.3, 0.7, 1.5, 3.0, 1.0, 0.9]}
CLIENTS = 12


def fleet(law: str) -> dict[str, Any]:
    return {"seconds_per_task": SPREAD, **LAWS[law]}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("concurrency", [1, 2, 7, 11, "all"])
@pytest.mark.parametrize("updates", [1, 2, 300])
def test_delays_and_ages_in_flight_add_up_on_every_path(
    law: str, concurrency: Any, updates: int
) -> None:
    strategy = {"kind": "fedasync", "concurrency": concurrency}
    run = updates_of(CLIENTS, strategy, fleet(law), updates=updates, seed=4)
    m = CLIENTS if concurrency == "all" else concurrency
    assert len(run.ages) == m - 1  # the run ends before the last client is sent another task
    assert run.staleness.sum() + run.ages.sum() == (m - 1) * updates


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("concurrency", "buffer"), [(10, 5), (7, 7), (12, 5), (3, 1)])
def test_with_a_buffer_they_add_up_to_m_minus_one_for_each_version(
    law: str, concurrency: int, buffer: int
) -> None:
    strategy = {"kind": "fedbuff", "concurrency": concurrency, "buffer_size": buffer}
    run = updates_of(CLIENTS, strategy, fleet(law), updates=60 * buffer, seed=5)
    # At the last step the K updates of the buffer have left the m in flight, and K - 1 of them
    # have been replaced.
    assert run.staleness.sum() + run.ages.sum() == (concurrency - 1) * 60


def mean_staleness(runs: list[Updates]) -> list[float]:
    return [float(run.staleness.mean()) for run in runs]


@pytest.mark.parametrize("law", LAWS)
def test_the_mean_delay_is_m_minus_one_whatever_the_law(law: str, compare: Comparisons) -> None:
    m = 8
    strategy = {"kind": "fedasync", "concurrency": m}
    runs = replicated(
        lambda seed: updates_of(CLIENTS, strategy, fleet(law), updates=1500, seed=seed),
        warm_up=500,
    )
    compare.mean(mean_staleness(runs), m - 1, mistakes=[m, m - 2])


@pytest.mark.parametrize("law", LAWS)
def test_fedbuffs_mean_staleness_is_m_minus_one_over_k(law: str, compare: Comparisons) -> None:
    m, k = 10, 5
    strategy = {"kind": "fedbuff", "concurrency": m, "buffer_size": k}
    runs = replicated(
        lambda seed: updates_of(CLIENTS, strategy, fleet(law), updates=1500, seed=seed),
        warm_up=500,
    )
    compare.mean(mean_staleness(runs), (m - 1) / k, mistakes=[m / k, (m - k) / k, m - 1])


class ReplacedBeforeTheStep:
    """FedBuff, but for the K-th client's replacement: it is sent before the step, not after."""

    reads_results = False

    def __init__(self, concurrency: int, buffer_size: int) -> None:
        self.concurrency, self.buffer_size = concurrency, buffer_size

    def schedule(self, server: Any) -> Iterator[Any]:
        server.dispatch_many(server.pick(self.concurrency))
        while True:
            buffer = []
            while len(buffer) < self.buffer_size:
                buffer.append((yield server.arrival()))
                server.dispatch(server.pick_one())
            yield server.aggregate(buffer)


def test_sent_before_the_step_it_is_m_over_k(compare: Comparisons) -> None:
    m, k = 10, 5
    script = ReplacedBeforeTheStep(m, k)
    runs = replicated(
        lambda seed: updates_of(
            CLIENTS, "fedavg", fleet("exponential"), updates=1500, seed=seed, script=script
        ),
        warm_up=500,
    )
    compare.mean(mean_staleness(runs), m / k, mistakes=[(m - 1) / k])


def test_the_clients_whose_tasks_take_longer_are_the_staler_ones() -> None:
    # The mean over clients says nothing of who is stale: slow clients are, and by how much is the
    # subject of the other oracles.
    run = updates_of(
        CLIENTS,
        {"kind": "fedasync", "concurrency": "all"},
        fleet("exponential"),
        updates=4000,
        seed=6,
    )
    assert run.delays_of(0).mean() < 3 < 11 < run.delays_of(5).mean()
    assert np.isclose(run.staleness.mean(), CLIENTS - 1, atol=0.1)
