"""AREA: the server's model is the mean of all clients' last models, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vectors import assert_is, models_after, trained, vec
from world_runs import run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.strategies import AREA


def test_the_step_is_a_part_of_what_has_changed_since_the_clients_last_models() -> None:
    models = models_after(
        AREA(buffer_size=2),
        vec(1, 1),
        [trained(5, 1, client=0), trained(1, 9, client=1)],
        [trained(9, 1, client=0), trained(5, 1, client=2)],
        clients=4,
    )
    # ((5, 1) - (1, 1) + (1, 9) - (1, 1)) / 4 = (1, 2)
    assert_is(models[0], 2, 3)
    # ((9, 1) - (5, 1) + (5, 1) - (1, 1)) / 4 = (2, 0)
    assert_is(models[1], 4, 3)


def test_a_clients_second_model_in_a_buffer_is_compared_with_its_first() -> None:
    batch = [trained(4, 0, client=0), trained(6, 2, client=0)]
    (model,) = models_after(AREA(buffer_size=2), vec(0, 0), batch, clients=2)
    assert_is(model, 3, 1)  # ((4, 0) + (2, 2)) / 2: that is (6, 2) / 2


def test_the_model_is_the_mean_of_all_last_models_on_any_sequence_of_arrivals() -> None:
    draws = np.random.default_rng(11)
    clients, k = 5, 3
    last = np.tile(np.float32([0.5, -1.0]), (clients, 1))
    rounds, expected = [], []
    for _ in range(30):
        batch = []
        for client in draws.choice(clients, k, p=[0.5, 0.3, 0.1, 0.07, 0.03]):
            last[client] = draws.normal(size=2)
            batch.append(trained(*last[client], client=int(client), n=1 + int(client)))
        rounds.append(batch)
        expected.append(last.mean(0))
    found = models_after(AREA(buffer_size=k), vec(0.5, -1.0), *rounds, clients=clients)
    np.testing.assert_allclose(torch.stack(found), expected, rtol=1e-4, atol=1e-5)


TIMES = [1, 2.5, 4.25]


def sent_by(**settings: object) -> list[tuple[float, int, int]]:
    strategy = {"kind": "area", "buffer_size": 2, **settings}
    outcome = run(scenario(TIMES, strategy=strategy, stop={"virtual_seconds": 4.5}))
    rows = [(e.time_us / 1e6, e.client, e.version) for e in outcome.of("aggregated")]
    # Client 0 comes at 1, 2, 3 and 4 s, client 1 at 2.5 s, client 2 at 4.25 s. Two by two:
    assert rows == [(2, 0, 1), (2, 0, 1), (3, 1, 2), (3, 0, 2), (4.25, 0, 3), (4.25, 2, 3)]
    return [(e.time_us / 1e6, e.client, e.base_version) for e in outcome.of("dispatched")[3:]]


def test_a_client_that_has_delivered_gets_the_model_before_the_step_that_it_makes() -> None:
    assert sent_by() == [
        *((1, 0, 0), (2, 0, 0), (2.5, 1, 1), (3, 0, 1), (4, 0, 2), (4.25, 2, 2)),
    ]


def test_or_after_it() -> None:
    assert sent_by(replacement="after_step") == [
        *((1, 0, 0), (2, 0, 1), (2.5, 1, 1), (3, 0, 2), (4, 0, 2), (4.25, 2, 3)),
    ]


def test_a_server_optimizer_is_refused_because_the_model_would_be_no_mean() -> None:
    with pytest.raises(ScenarioError, match="area takes none"):
        AREA(server_optimizer="FedAdam")
