"""QuAFL: averages on the server and on the client, the learning rate, and polled work."""

from __future__ import annotations

import pytest
from vectors import assert_is, step, trained, vec
from world_runs import run, scenario

from afl_sim.strategies import QuAFL
from afl_sim.strategies.base import Client


def test_the_server_averages_its_model_with_those_of_the_polled() -> None:
    # s = 2:  ((3, 0) + (0, 6) + (6, 3)) / 3 = (3, 3)
    strategy = QuAFL(clients_per_round=2)
    assert_is(step(strategy, vec(3, 0), [trained(0, 6), trained(6, 3)]), 3, 3)


def test_a_polled_client_goes_on_between_its_own_model_and_the_servers() -> None:
    # s = 2:  (3, 0) / 3 + 2/3 (0, 6) = (1, 4)
    strategy = QuAFL(clients_per_round=2)
    assert_is(strategy.starting_point(vec(3, 0), None, Client(0, vec(0, 6))), 1, 4)


def test_a_client_that_has_no_model_of_its_own_starts_at_the_servers() -> None:
    assert_is(QuAFL().starting_point(vec(3, 0), None, Client(0, None)), 3, 0)


@pytest.mark.parametrize(("s", "factor"), [(1, 2.0), (2, 1.5), (5, 1.2)])
def test_the_local_learning_rate_is_scaled_by_s_plus_one_over_s(s: int, factor: float) -> None:
    assert QuAFL(clients_per_round=s).lr_scale == pytest.approx(factor)


def test_the_server_polls_every_wait_plus_interaction_seconds() -> None:
    outcome = run(
        scenario(
            5,
            strategy={
                "kind": "quafl",
                "clients_per_round": 2,
                "interaction_seconds": 3,
                "wait_seconds": 1.5,
            },
            stop={"versions": 3},
        )
    )
    rows = [(e.time_us, e.version) for e in outcome.of("aggregated")]
    assert rows == [(v * 4_500_000, v) for v in (1, 2, 3) for _ in range(2)]


def test_a_poll_takes_the_steps_done_so_far_and_at_most_k() -> None:
    # A step takes 1 s on client 0, 4 s on client 1, 100 s on client 2; all are polled every 6 s.
    outcome = run(
        scenario(
            3,
            compute={"seconds_per_step": {"values": [1, 4, 100]}},
            strategy={
                "kind": "quafl",
                "clients_per_round": 3,
                "local_steps": 4,
                "interaction_seconds": 6,
            },
            stop={"versions": 2},
        )
    )
    steps = {(e.version, e.client): e.steps for e in outcome.of("aggregated")}
    # min(4, 6 / 1) = 4;  floor(6 / 4) = 1;  floor(6 / 100) = 0. The clock starts anew at the poll.
    assert steps == {(v, c): n for v in (1, 2) for c, n in ((0, 4), (1, 1), (2, 0))}


def test_check_finds_polls_that_cannot_be() -> None:
    def complaints(**settings: object) -> list[str]:
        return [".".join(path) for path, _ in QuAFL(**settings).check(4)]

    assert complaints(clients_per_round=5) == ["clients_per_round"]
    assert complaints(clients_per_round=4) == []
    assert complaints(clients_per_round=2, interaction_seconds=0) == ["interaction_seconds"]
    assert complaints(clients_per_round=2, interaction_seconds=0, wait_seconds=1) == []
