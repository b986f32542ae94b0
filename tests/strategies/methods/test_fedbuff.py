"""FedBuff: one division by K, weights that are not renormalised, and the server's step."""

from __future__ import annotations

import pytest
from vectors import assert_is, moved, server_steps, step, vec
from world_runs import run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.strategies import FedBuff

FRESH = moved(1, 2, tau=0)
STALE = moved(4, -4, tau=3)  # s(3) = (1 + 3)^-1/2 = 1/2


def test_the_step_is_the_weighted_sum_divided_by_k() -> None:
    # ((1, 2) + 1/2 (4, -4)) / 2 = (3, 0) / 2 = (1.5, 0)
    assert_is(step(FedBuff(buffer_size=2), vec(10, 10), [FRESH, STALE]), 11.5, 10)


def test_the_weights_are_not_renormalised() -> None:
    # Both stale: (1/2 (4, -4) + 1/2 (4, -4)) / 2 = (2, -2). Divided by the weights' sum it would
    # be (4, -4), divided by K twice (1, -1).
    assert_is(step(FedBuff(buffer_size=2), vec(0, 0), [STALE, STALE]), 2, -2)


def test_the_division_is_by_the_buffer_size() -> None:
    # K = 4: ((1, 2) * 4) / 4 = (1, 2)
    assert_is(step(FedBuff(buffer_size=4), vec(0, 0), [FRESH] * 4), 1, 2)


def test_the_division_is_by_the_size_that_is_in_force() -> None:
    # A controller has made K 4 in place of 2: (1, 2) + (1, 2) is a half of that.
    strategy = FedBuff(buffer_size=2)
    assert_is(step(strategy, vec(0, 0), [FRESH] * 2, buffer_size=4), 0.5, 1)


def test_the_server_learning_rate_scales_the_step() -> None:
    # 0.5 * (1.5, 0)
    strategy = FedBuff(buffer_size=2, server_lr=0.5)
    assert_is(step(strategy, vec(10, 10), [FRESH, STALE]), 10.75, 10)


def test_samples_do_not_weigh() -> None:
    big = moved(4, -4, tau=3, n=1000)
    assert_is(step(FedBuff(buffer_size=2), vec(10, 10), [FRESH, big]), 11.5, 10)


def test_a_constant_weight_makes_it_the_mean() -> None:
    # ((1, 2) + (4, -4)) / 2 = (2.5, -1)
    strategy = FedBuff(buffer_size=2, staleness={"kind": "constant"})
    assert_is(step(strategy, vec(0, 0), [FRESH, STALE]), 2.5, -1)


def test_a_server_optimizer_gets_the_negative_step_as_its_gradient() -> None:
    sgd = FedBuff(buffer_size=2, server_optimizer={"kind": "SGD", "lr": 0.5})
    assert_is(server_steps(sgd, vec(10, 10), [FRESH, STALE])[0], 10.75, 10)
    # Adam's first step has the size lr in each element that moves: 10 + 0.1 and, for the step
    # (1.5, 0), nothing in the second.
    adam = FedBuff(buffer_size=2, server_optimizer={"kind": "Adam", "lr": 0.1, "eps": 1e-12})
    assert_is(server_steps(adam, vec(10, 10), [FRESH, STALE])[0], 10.1, 10)


def test_server_momentum_is_carried_from_step_to_step() -> None:
    strategy = FedBuff(buffer_size=2, server_optimizer={"kind": "SGD", "lr": 1.0, "momentum": 0.5})
    first, second = server_steps(strategy, vec(0, 0), [FRESH, STALE], [FRESH, STALE])
    assert_is(first, 1.5, 0)
    # v = 0.5 * (1.5, 0) + (1.5, 0) = (2.25, 0)
    assert_is(second, 3.75, 0)


def test_the_server_steps_at_every_kth_arrival_and_the_last_client_gets_the_new_model() -> None:
    outcome = run(
        scenario(
            [1, 10, 10],
            strategy={"kind": "fedbuff", "concurrency": "all", "buffer_size": 2},
            stop={"updates": 4},
        )
    )
    # Client 0 fills the buffer at 1 and 2, then at 3 and 4.
    assert [(e.time_us, e.client, e.version) for e in outcome.of("aggregated")] == [
        (2_000_000, 0, 1),
        (2_000_000, 0, 1),
        (4_000_000, 0, 2),
        (4_000_000, 0, 2),
    ]
    # Its tasks 0 and 1 train version 0; the replacement sent at the step trains version 1.
    assert [e.base_version for e in outcome.of("dispatched") if e.client == 0] == [0, 0, 1, 1]
    assert [e.staleness for e in outcome.of("aggregated")] == [0, 0, 0, 0]


def test_replaced_before_the_step_who_fills_the_buffer_goes_on_with_the_model_before_it() -> None:
    outcome = run(
        scenario(
            [1, 10, 10],
            strategy={
                "kind": "fedbuff",
                "concurrency": "all",
                "buffer_size": 2,
                "replacement": "before_step",
            },
            stop={"updates": 4},
        )
    )
    # Client 0 fills the buffer at 2 with its task 1, and its task 2 trains version 0 still.
    assert [e.base_version for e in outcome.of("dispatched") if e.client == 0][:4] == [0, 0, 0, 1]
    assert [(e.time_us, e.staleness) for e in outcome.of("aggregated")] == [
        (2_000_000, 0),
        (2_000_000, 0),
        (4_000_000, 1),
        (4_000_000, 0),
    ]


def test_one_client_alone_can_fill_a_buffer() -> None:
    strategy = {"kind": "fedbuff", "concurrency": 1, "buffer_size": 3}
    outcome = run(scenario([2], strategy=strategy, stop={"versions": 2}))
    assert [e.time_us for e in outcome.of("aggregated")] == [6_000_000] * 3 + [12_000_000] * 3


def test_check_finds_a_concurrency_beyond_the_clients() -> None:
    def complaints(clients: int = 100, **settings: object) -> list[str]:
        return [".".join(path) for path, _ in FedBuff(**settings).check(clients)]

    assert complaints(concurrency=5, buffer_size=6) == []
    assert complaints(clients=8, concurrency="all", buffer_size=9) == []
    assert complaints(clients=8, concurrency=9, buffer_size=2) == ["concurrency"]


def test_check_finds_two_learning_rates() -> None:
    both = FedBuff(server_lr=0.5, server_optimizer={"kind": "SGD", "lr": 0.1})
    assert [path for path, _ in both.check(100)] == [("server_lr",)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"buffer_size": 0},
        {"server_lr": 0},
        {"server_optimizer": {"kind": "Adamm"}},
        {"server_optimizer": {"kind": "SGD", "lr": -1}},
        {"server_optimizer": {"kind": "SGD", "rate": 1}},
    ],
)
def test_settings_outside_their_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ScenarioError):
        FedBuff(**wrong)
