"""FedAvg: the weighted mean, a server optimizer on the pseudo-gradient, and its rounds."""

from __future__ import annotations

import math

import pytest
import torch
from vectors import assert_is, flat_layout, population, server_steps, step, trained, vec
from world_runs import run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.global_model.server_model import ServerModel
from afl_sim.strategies import FedAvg

ONE = trained(1, 2, n=1)
THREE = trained(5, -2, n=3)


def test_models_are_weighted_by_the_samples_their_clients_hold() -> None:
    # (1 * 1 + 3 * 5) / 4 = 4,  (1 * 2 - 3 * 2) / 4 = -1
    assert_is(step(FedAvg(), vec(9, 9), [ONE, THREE]), 4, -1)


def test_weights_are_those_of_the_round_not_of_the_population() -> None:
    # A round of one client is that client's model, however little data it has.
    assert_is(step(FedAvg(), vec(9, 9), [trained(1, 2, n=7)]), 1, 2)


def test_uniform_weighting_ignores_the_sample_counts() -> None:
    # (1 + 5) / 2 = 3,  (2 - 2) / 2 = 0
    assert_is(step(FedAvg(weighting="uniform"), vec(9, 9), [ONE, THREE]), 3, 0)


def test_those_who_do_not_answer_may_count_with_the_global_model() -> None:
    strategy = FedAvg(weighting="population")
    state = strategy.initial_state(vec(9, 9), population(4, samples=[1, 3, 2, 2]))
    # (1 (1, 2) + 3 (5, -2) + 4 (9, 9)) / 8 = (6.5, 4)
    params, after = strategy.aggregate(vec(9, 9), state, [ONE, THREE], {})
    assert_is(params, 6.5, 4)
    assert after == state == 8
    optimizer = {"kind": "SGD", "lr": 1.0}
    both = FedAvg(weighting="population", server_optimizer=optimizer, clients_per_round=1)
    assert [path for path, _ in both.check(4)] == [("server_optimizer",)]


def test_a_warm_up_round_has_everybody_in_it() -> None:
    strategy = {"kind": "fedavg", "clients_per_round": 1, "warm_up_epochs": 2}
    outcome = run(scenario(3, strategy=strategy, stop={"versions": 2}, training={"epochs": 5}))
    first, second = ([e for e in outcome.of("aggregated") if e.version == v] for v in (1, 2))
    assert [e.client for e in first] == [0, 1, 2]
    assert len(second) == 1
    assert {e.samples for e in first} == {20}
    assert {e.samples for e in second} == {50}


def test_a_server_optimizer_of_sgd_with_rate_one_is_plain_averaging() -> None:
    strategy = FedAvg(server_optimizer={"kind": "SGD", "lr": 1.0})
    assert_is(server_steps(strategy, vec(9, 9), [ONE, THREE])[0], 4, -1)


def test_server_momentum_is_applied_to_the_pseudo_gradient_and_carried_on() -> None:
    strategy = FedAvg(server_optimizer={"kind": "SGD", "lr": 0.5, "momentum": 0.9})
    # Pseudo-gradient g = w - mean = (0, 0) - (4, -1) = (-4, 1); buffer v = g.
    # w = (0, 0) - 0.5 * (-4, 1) = (2, -0.5)
    first, second = server_steps(strategy, vec(0, 0), [ONE, THREE], [ONE, THREE])
    assert_is(first, 2, -0.5)
    # g = (2, -0.5) - (4, -1) = (-2, 0.5); v = 0.9 * (-4, 1) + g = (-5.6, 1.4)
    # w = (2, -0.5) - 0.5 * (-5.6, 1.4) = (4.8, -1.2)
    assert_is(second, 4.8, -1.2)


def test_server_adam_follows_its_published_recursion() -> None:
    lr, beta1, beta2, eps = 0.1, 0.9, 0.99, 1e-3
    strategy = FedAvg(
        server_optimizer={"kind": "Adam", "lr": lr, "betas": [beta1, beta2], "eps": eps}
    )
    # First step, by hand: m / (1 - beta1) = g = (-4, 1) and v / (1 - beta2) = g^2, so that
    # w = 0.1 * 4 / 4.001 = 0.0999750 and -0.1 * 1 / 1.001 = -0.0999001.
    found = server_steps(strategy, vec(0, 0), *[[ONE, THREE]] * 3)
    assert_is(found[0], 0.0999750, -0.0999001, tolerance=2e-7)
    # Kingma and Ba's Algorithm 1 in double precision, element by element, for three steps.
    w, m, v = [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]
    for t in (1, 2, 3):
        for i, mean in enumerate((4.0, -1.0)):
            gradient = w[i] - mean
            m[i] = beta1 * m[i] + (1 - beta1) * gradient
            v[i] = beta2 * v[i] + (1 - beta2) * gradient**2
            w[i] -= lr * (m[i] / (1 - beta1**t)) / (math.sqrt(v[i] / (1 - beta2**t)) + eps)
        assert_is(found[t - 1], *w)


def test_a_server_optimizer_leaves_its_old_state_as_it_was() -> None:
    strategy = FedAvg(server_optimizer={"kind": "Adam", "lr": 0.1})
    server = ServerModel(strategy, vec(0, 0), flat_layout(2), population(2))
    server.aggregate([ONE, THREE], [vec(0, 0)], {})
    model, moments = server.vector, server.moments
    server.aggregate([ONE, THREE], [vec(0, 0)], {})
    first = server.vector
    server.vector, server.moments = model, moments
    server.aggregate([ONE, THREE], [vec(0, 0)], {})
    assert torch.equal(server.vector, first)


@pytest.mark.parametrize(
    ("given", "clients", "count"),
    [(3, 100, 3), (0.1, 100, 10), (1.0, 7, 7), (0.01, 7, 1), (1, 7, 1)],
)
def test_clients_per_round_is_a_count_or_a_fraction_of_the_population(
    given: float, clients: int, count: int
) -> None:
    outcome = run(
        scenario(
            clients,
            strategy={"kind": "fedavg", "clients_per_round": given},
            stop={"versions": 1},
        )
    )
    assert len(outcome.of("aggregated")) == count


@pytest.mark.parametrize("wrong", [0, -1, 0.0, 1.5, "all"])
def test_clients_per_round_refuses_what_is_neither(wrong: object) -> None:
    with pytest.raises(ScenarioError):
        FedAvg(clients_per_round=wrong)


def test_a_round_lasts_as_long_as_its_slowest_client_and_the_next_starts_at_once() -> None:
    outcome = run(
        scenario(
            [[1, 4], [3, 2], [2, 2]],
            strategy={"kind": "fedavg", "clients_per_round": 3},
            stop={"versions": 2},
        )
    )
    # max(1, 3, 2) = 3, then max(4, 2, 2) = 4 more.
    assert sorted({(e.time_us, e.version) for e in outcome.of("aggregated")}) == [
        (3_000_000, 1),
        (7_000_000, 2),
    ]
    assert {e.staleness for e in outcome.of("aggregated")} == {0}


def test_over_selection_takes_the_first_and_cancels_the_rest() -> None:
    outcome = run(
        scenario(
            [5, 1, 3, 2],
            strategy={"kind": "fedavg", "clients_per_round": 2, "over_selection": 1.0},
            stop={"versions": 1, "virtual_seconds": 100},
        )
    )
    assert outcome.story("aggregated") == [(2.0, "aggregated", 1), (2.0, "aggregated", 3)]
    assert sorted(outcome.story("cancelled")) == [(2.0, "cancelled", 0), (2.0, "cancelled", 2)]


def test_over_selection_selects_the_exact_number() -> None:
    # 50 * (1 + 0.1) is 55.000000000000007 in floating point, which must not become 56.
    outcome = run(
        scenario(
            60,
            strategy={"kind": "fedavg", "clients_per_round": 50, "over_selection": 0.1},
            stop={"versions": 1},
        )
    )
    assert len(outcome.of("dispatched")) == 55


def test_late_clients_can_finish_and_are_discarded() -> None:
    outcome = run(
        scenario(
            [5, 1],
            strategy={"kind": "fedavg", "clients_per_round": 2, "deadline": 2.0, "late": "discard"},
            stop={"virtual_seconds": 5.5},
        )
    )
    assert (5.0, "discarded", 0) in outcome.story("discarded")
    assert not outcome.of("cancelled")
    # Rounds at 2 (1 and the deadline), then client 1 alone, a second each, until 5.
    assert [t for t, _, client in outcome.story("aggregated") if client == 1] == [2, 3, 4, 5]


def test_an_update_due_exactly_at_the_deadline_counts() -> None:
    outcome = run(
        scenario(
            [2, 1],
            strategy={"kind": "fedavg", "clients_per_round": 2, "deadline": 2.0},
            stop={"versions": 1},
        )
    )
    assert outcome.story("aggregated") == [(2.0, "aggregated", 1), (2.0, "aggregated", 0)]


def test_partial_work_is_kept_with_the_steps_done_by_the_deadline() -> None:
    # 100 samples in batches of 10 make 10 steps; client 0 needs 8 s for them and is stopped after
    # 4: 5 steps. Client 1 has done all 10.
    outcome = run(
        scenario(
            [8, 1],
            training={"batch_size": 10},
            strategy={"kind": "fedavg", "clients_per_round": 2, "deadline": 4.0, "partial": "keep"},
            stop={"versions": 1},
        ),
        samples_of=lambda client: 100,
    )
    rows = [(e.time_us, e.client, e.steps, e.samples) for e in outcome.of("aggregated")]
    assert rows == [(4_000_000, 1, 10, 100), (4_000_000, 0, 5, 50)]


def test_partial_work_of_no_whole_step_is_no_update() -> None:
    # One step takes 8 s; at the deadline not one is done.
    outcome = run(
        scenario(
            [8, 1],
            strategy={"kind": "fedavg", "clients_per_round": 2, "deadline": 4.0, "partial": "keep"},
            stop={"versions": 1, "virtual_seconds": 100},
        )
    )
    assert [e.client for e in outcome.of("aggregated")] == [1]
    assert [e.client for e in outcome.of("discarded")] == [0]


def test_a_client_that_is_away_at_the_deadline_does_not_hold_the_round_up() -> None:
    away = {"kind": "on_off", "on": {"sequence": [3, 1e6]}, "off": 500, "on_leave": "paused"}
    outcome = run(
        scenario(
            [1, 8],
            training={"batch_size": 1},
            strategy={"kind": "fedavg", "clients_per_round": 2, "deadline": 4.0, "partial": "keep"},
            fleet={"availability": away},
            stop={"versions": 1},
        )
    )
    assert outcome.story("aggregated", "cancelled") == [
        (4.0, "cancelled", 1),
        (4.0, "aggregated", 0),
    ]


def complaints(clients: int, **settings: object) -> dict[str, str]:
    return {".".join(path): text for path, text in FedAvg(**settings).check(clients)}


def test_check_finds_rounds_larger_than_the_population() -> None:
    assert complaints(10, clients_per_round=10) == {}
    assert "at most 10" in complaints(10, clients_per_round=11)["clients_per_round"]
    assert complaints(10, clients_per_round=5, over_selection=1.0) == {}
    assert "11 of 10" in complaints(10, clients_per_round=5, over_selection=1.1)["over_selection"]
    for per_round in range(1, 11):
        told = complaints(10, clients_per_round=per_round, over_selection=10)["over_selection"]
        most = float(told.rpartition("at most ")[2])
        assert complaints(10, clients_per_round=per_round, over_selection=most) == {}
        assert complaints(10, clients_per_round=per_round, over_selection=most + 0.101)


def test_check_finds_partial_work_that_nobody_could_have() -> None:
    assert list(complaints(10, clients_per_round=5, partial="keep")) == ["partial"]
    assert complaints(10, clients_per_round=5, partial="keep", deadline=3.0) == {}
    assert complaints(10, clients_per_round=5, partial="keep", over_selection=0.2) == {}
