"""A server optimizer in place of a strategy's own step, worked out by hand.

A lone client of the toy has its optimum t at (3, 1, -1) and begins at (1, -2, 0.5), so that
t - w = (2, 3, -1.5). Its local training leaves 0.7^4 = 0.2401 of what was between it and t.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from torch import Tensor
from vectors import assert_is

from afl_sim.strategies import strategies
from afl_sim.testing import Case
from afl_sim.testing.toy import executor_of, learner_of, turn


def model_after(versions: int, kind: str, optimizer: dict[str, Any], **settings: Any) -> Tensor:
    strategy = strategies()[kind](server_optimizer=optimizer, **settings)
    case = Case(strategy, clients=1, versions=versions)
    vector = turn(case, learner_of(case, executor_of(1, "same"))).vector
    assert vector is not None
    return vector


def test_momentum_goes_on_where_the_rule_has_moved() -> None:
    # The rule moves by (t - w)/2. v = (2, 3, -1.5)/2; then v = v/2 + a quarter of it: w is at t.
    momentum = {"kind": "SGD", "lr": 1.0, "momentum": 0.5}
    assert_is(model_after(1, "ringmaster", momentum, lr=0.5), 2, -0.5, -0.25)
    assert_is(model_after(2, "ringmaster", momentum, lr=0.5), 3, 1, -1)


def test_fedadagrad_steps_by_the_share_of_this_move_in_all_moves() -> None:
    # The rule replaces w: moves of 0.7599 (t - w), whose factor cancels. First 0.1 sign(t - w);
    # then 0.1 d2 / sqrt(d1^2 + d2^2) with d1 = (2, 3, 1.5), d2 = (1.9, 2.9, 1.4).
    adagrad = {"kind": "FedAdagrad", "lr": 0.1, "tau": 1e-9}
    first = model_after(1, "fedasync", adagrad, concurrency=1, alpha=1)
    assert_is(first, 1.1, -1.9, 0.4, tolerance=1e-5)
    second = model_after(2, "fedasync", adagrad, concurrency=1, alpha=1)
    assert_is(second, 1.168874, -1.830498, 0.331768, tolerance=1e-5)


def test_fedadam_has_both_moments_of_the_move() -> None:
    # Moves (1, 1.5, -0.75): m = half of them, v = (0.1^2 + move^2)/2, and 0.1 m / (sqrt(v) + 0.1).
    adam = {"kind": "FedAdam", "lr": 0.1, "betas": [0.5, 0.5], "tau": 0.1}
    assert_is(model_after(1, "malenia", adam, lr=0.5), 1.061680, -1.935512, 0.440947)


@pytest.mark.parametrize("kind", ["fadas", "favas", "fedat", "feddyn", "quafl", "safa"])
def test_a_rule_that_needs_a_step_of_its_own_takes_none(kind: str) -> None:
    with pytest.raises(ValidationError, match=f"{kind} takes none"):
        strategies()[kind](server_optimizer="FedAdam")
