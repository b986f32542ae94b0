"""Delays and ages in flight add up on every path, not only on average."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from timing import LAWS, updates_of

from afl_sim.theory.staleness import CLIENTS
from afl_sim.theory.staleness import compute as fleet


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


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("sampling", ["uniform", "speed"])
@pytest.mark.parametrize("m", [1, 5, 30])
def test_with_queues_at_clients_they_add_up_as_well(law: str, sampling: str, m: int) -> None:
    strategy = {"kind": "generalized_asyncsgd", "concurrency": m, "sampling": sampling}
    run = updates_of(CLIENTS, strategy, fleet(law), updates=300, seed=8)
    assert len(run.ages) == m - 1
    assert run.staleness.sum() + run.ages.sum() == (m - 1) * 300


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
