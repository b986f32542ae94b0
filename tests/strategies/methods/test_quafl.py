"""QuAFL: averages on the server and on the client, the learning rate, and polled work."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vectors import assert_is, models_after, step, trained, vec
from world_runs import run, scenario

from afl_sim.strategies import QuAFL
from afl_sim.strategies.base import Client
from afl_sim.strategies.toolkit.quantization import dither, quantized
from afl_sim.streams import Streams


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


NO_NOISE = vec(0, 0).double()


def polls(interrupted_step: str, **compute: object) -> list[int]:
    """The steps that four polls find, 3 s apart, of a client that does at most two."""
    outcome = run(
        scenario(
            1,
            seed=56,
            compute={"seconds_per_step": 1, **compute},
            strategy={
                "kind": "quafl",
                "clients_per_round": 1,
                "local_steps": 2,
                "interaction_seconds": 3,
                "interrupted_step": interrupted_step,
            },
            stop={"versions": 4},
        )
    )
    return [e.steps for e in outcome.of("aggregated")]


def test_a_step_that_a_poll_breaks_off_can_take_as_long_again() -> None:
    # Steps of 4, 1, 2 and 1 s in the client's four tasks. Drawn anew, three seconds hold none of 4,
    # both of 1, one of 2, both of 1. The first step of 4 s is repeated for ever.
    steps = {"jitter": {"sequence": [4, 1, 2, 1]}}
    assert polls("redrawn", **steps) == [0, 2, 1, 2]
    assert polls("repeated", **steps) == [0, 0, 0, 0]
    # Steps of 2 s, 1 s, ...: the second step of 2 s is broken off after 1 s. It is the next task's
    # first, with a second of 1 s. Then nothing is broken off, and the next task has its own steps.
    steps = {"jitter": {"sequence": [2, 1, 2, 1]}}
    assert polls("redrawn", **steps) == [1, 2, 1, 2]
    assert polls("repeated", **steps) == [1, 2, 1, 2]
    steps = {"jitter": {"sequence": [2, 1.25, 1, 1]}}
    assert polls("redrawn", **steps) == [1, 2, 2, 2]
    assert polls("repeated", **steps) == [1, 1, 2, 2]  # 2 + 1.25 is more than 3; then 1.25 + 1


def test_steps_of_their_own_lengths_are_repeated_too() -> None:
    streams = Streams(56)
    law = {"jitter": {"dist": "expon", "scale": 2}, "jitter_per": "step"}
    lengths = [
        -2 * np.log1p(-streams.generator("compute.jitter", 0, k).random(2)) for k in range(4)
    ]
    expected, first = [], None
    for own in lengths:
        first, second = (own[0] if first is None else first), own[1]
        done = int(first <= 3) + int(first + second <= 3)
        expected.append(done)
        first = {0: first, 1: second, 2: None}[done]
    assert expected == [1, 1, 1, 2]
    assert polls("redrawn", **law) == [1, 0, 0, 2]
    assert polls("repeated", **law) == expected


def test_by_default_elements_are_rounded_to_the_nearest_multiple_of_the_step() -> None:
    # 0.74 / 0.5 = 1.48 and -0.3 / 0.5 = -0.6: 1 and -1 steps. Halves go to the even multiple.
    assert_is(quantized(vec(0.74, -0.3), vec(0, 0), 0.5, 4), 0.5, -0.5)
    assert_is(quantized(vec(0.25, 0.75), vec(0, 0), 0.5, 4), 0.0, 1.0)
    # The receiver's residue: 5.4 is 5, or 5 - 8 beside -3.
    assert_is(quantized(vec(5.4, 5.4), vec(3, -3), 1.0, 3), 5, -3)


def test_the_step_is_that_of_the_authors_code() -> None:
    strategy = QuAFL(clients_per_round=1, bits=14)
    # 1.00004 is sent as 1.0000, and the mean with 0.5 is 0.75. 0.62 is 6200 steps from 0, but not
    # beyond the 8191 that 14 bits can tell apart; 1.7 is, so that it arrives as 1.7 - 16384e-4.
    models = models_after(strategy, vec(0.5, 0.0), [trained(1.00004, 0.62)])
    assert_is(models[0], 0.75, 0.31)
    models = models_after(strategy, vec(0.0, 0.0), [trained(0.0, 1.7)])
    assert_is(models[0], 0.0, 0.0308)


def test_elements_can_be_rounded_at_random() -> None:
    # 0.74 / 0.5 = 1.48 and -0.3 / 0.5 = -0.6, rounded down; with a dither of 0.7 up.
    vector, key = vec(0.74, -0.3), vec(0, 0)
    assert_is(quantized(vector, key, 0.5, 4, NO_NOISE), 0.5, -0.5)
    assert_is(quantized(vector, key, 0.5, 4, NO_NOISE + 0.7), 1.0, 0.0)


def test_the_receiver_takes_the_residue_nearest_to_its_key() -> None:
    # Three bits: multiples modulo 8. 5 beside 3 is 5; beside -3 it is -3, eight below.
    assert_is(quantized(vec(5, 5), vec(3, -3), 1.0, 3, NO_NOISE), 5, -3)
    # Beside a key of 100, 101 is 101: the size of the numbers does not count.
    assert_is(quantized(vec(101, 98), vec(100, 100), 1.0, 3, NO_NOISE), 101, 98)


def test_quantisation_is_right_on_average() -> None:
    vector, key = vec(0.3, -1.7), vec(0, -2)
    rounded = [quantized(vector, key, 1.0, 4, dither(s, "test", 0, 2)) for s in range(4000)]
    mean = torch.stack(rounded).mean(0)
    # A standard deviation of at most 1/2, so 0.008 of the mean: 5 of them.
    torch.testing.assert_close(mean, vector, atol=0.04, rtol=0)
    assert all(((r - vector).abs() < 1).all() for r in rounded)


def test_both_directions_are_quantised_if_bits_are_given() -> None:
    strategy = QuAFL(clients_per_round=1, bits=8, quantization_step=1.0, rounding="stochastic")
    params, state = strategy.aggregate(vec(4, 0), {"seed": 0}, [trained(2.5, 1.5)], {"seed": 77})
    up = torch.floor(vec(2.5, 1.5) + dither(77, "up", 0, 2).float())
    torch.testing.assert_close(params, (vec(4, 0) + up) / 2)
    assert state == {"seed": 77}
    start = strategy.starting_point(vec(2.5, 0), state, Client(3, vec(1, 1)))
    down = torch.floor(vec(2.5, 0) + dither(77, "down", 3, 2).float())
    torch.testing.assert_close(start, (down + vec(1, 1)) / 2)
    nearest = QuAFL(clients_per_round=1, bits=8, quantization_step=1.0)
    params, _ = nearest.aggregate(vec(4, 0), {"seed": 0}, [trained(2.4, 1.6)], {})
    assert_is(params, 3, 1)  # ((4, 0) + (2, 2)) / 2
    assert_is(nearest.starting_point(vec(2.6, 0), {"seed": 0}, Client(3, vec(1, 1))), 2, 0.5)


def test_quantisation_changes_nothing_about_the_schedule() -> None:
    digests = {
        run(
            scenario(
                5,
                compute={"seconds_per_step": {"values": [1, 2, 3, 4, 5]}},
                strategy={
                    "kind": "quafl",
                    "clients_per_round": 2,
                    "bits": bits,
                    "rounding": rounding,
                },
                stop={"versions": 5},
            )
        ).schedule_digest
        for bits, rounding in ((None, "nearest"), (8, "nearest"), (8, "stochastic"))
    }
    assert len(digests) == 1


def test_check_finds_polls_that_cannot_be() -> None:
    def complaints(**settings: object) -> list[str]:
        return [".".join(path) for path, _ in QuAFL(**settings).check(4)]

    assert complaints(clients_per_round=5) == ["clients_per_round"]
    assert complaints(clients_per_round=4) == []
    assert complaints(clients_per_round=2, interaction_seconds=0) == ["interaction_seconds"]
    assert complaints(clients_per_round=2, interaction_seconds=0, wait_seconds=1) == []
