"""Attacks: who attacks, what is sent, and on which labels attackers train."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from vectors import flat_layout, vec

from afl_sim import Attack
from afl_sim.errors import ScenarioError
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.training.attackers import Attackers, attackers_of, poisoned
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.scenario.sections.attack import LabelFlip, Noise, Scale, SignFlip
from afl_sim.streams import Streams

STREAMS = Streams(3)
START, MODEL = vec(1, 1, 9), vec(1, 1)  # the last entry is a buffer
RESULT = LocalResult(vec(3, 0, 8), vec(2, -1), 0.5)


def sent(spec: Attack, client: int = 1, gradient: bool = False, task: int = 0) -> LocalResult:
    attackers = Attackers(spec, frozenset([1, 2]), STREAMS, gradient)
    return attackers.sent(client, task, START, MODEL, RESULT, flat_layout(2))


@pytest.mark.parametrize(
    ("spec", "delta"),
    [
        (SignFlip(share=0.5), [-2, 1]),
        (SignFlip(share=0.5, factor=3), [-6, 3]),
        (Scale(share=0.5, factor=10), [20, -10]),
    ],
)
def test_an_attacker_sends_another_update_and_the_model_that_fits(
    spec: Attack, delta: list[float]
) -> None:
    found = sent(spec)
    assert found.delta.tolist() == delta
    assert found.vector.tolist() == [1 + delta[0], 1 + delta[1], 8]
    assert found.loss == 0.5
    assert RESULT.delta.tolist() == [2, -1]


def test_an_honest_client_sends_what_it_has_computed() -> None:
    assert sent(Scale(share=0.5), client=0) is RESULT
    assert sent(LabelFlip(share=0.5)) is RESULT


def test_an_attack_on_a_gradient_leaves_the_model_where_it_was_taken() -> None:
    found = sent(SignFlip(share=0.5), gradient=True)
    assert (found.delta.tolist(), found.vector.tolist()) == ([-2, 1], [3, 0, 8])


def test_noise_is_addressed_by_client_and_task() -> None:
    spec = Noise(share=0.5, deviation=2.0)
    first = sent(spec).delta - RESULT.delta
    assert torch.equal(sent(spec).delta - RESULT.delta, first)
    assert not torch.equal(sent(spec, client=2).delta - RESULT.delta, first)
    assert not torch.equal(sent(spec, task=1).delta - RESULT.delta, first)
    many = Attackers(spec, frozenset([1]), STREAMS)
    zeros = LocalResult(torch.zeros(40000), torch.zeros(40000), 0.0)
    noise = many.sent(1, 0, zeros.vector, zeros.vector, zeros, flat_layout(40000)).delta
    assert abs(float(noise.mean())) < 0.04
    assert abs(float(noise.std()) - 2) < 0.04


def test_frozen_parameters_stay_as_they_are() -> None:
    model = nn.Linear(2, 1)
    model.bias.requires_grad_(False)
    layout = ParameterVector(model)
    result = LocalResult(vec(1, 2, 0), vec(1, 2, 0), 0.0)
    attackers = Attackers(Noise(clients=(0,)), frozenset([0]), STREAMS)
    found = attackers.sent(0, 0, vec(0, 0, 0), vec(0, 0, 0), result, layout)
    assert found.delta[2] == 0
    assert found.delta[0] != 1


@pytest.mark.parametrize(("share", "number"), [(0.1, 2), (0.25, 5), (1.0, 20)])
def test_a_share_is_an_exact_number_of_clients(share: float, number: int) -> None:
    members = attackers_of(SignFlip(share=share), 20, STREAMS)
    assert len(members) == number
    assert members <= attackers_of(SignFlip(share=1.0), 20, STREAMS)
    assert attackers_of(SignFlip(share=0.1), 20, STREAMS) <= attackers_of(
        SignFlip(share=0.5), 20, STREAMS
    )


def test_named_clients_attack() -> None:
    assert attackers_of(SignFlip(clients=(3, 0)), 20, STREAMS) == {0, 3}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "expected share or clients"),
        ({"share": 0.1, "clients": [1]}, "has both share and clients"),
        ({"clients": [1, 1]}, "names a client twice"),
        ({"clients": []}, "at least 1 entr"),
        ({"share": 0}, "expected more than 0"),
        ({"share": 1.5}, "expected at most 1"),
    ],
)
def test_who_attacks_is_said_in_one_way(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        SignFlip(**settings)


def test_labels_are_flipped_for_the_samples_of_attackers_alone() -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    held = [np.array([0, 1]), np.array([5, 3]), np.array([2, 4])]
    found = poisoned(LabelFlip(clients=(1,)), frozenset([1]), labels, 3, held.__getitem__, 3)
    assert found.tolist() == [0, 1, 2, 2, 1, 0]
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    honest = poisoned(SignFlip(clients=(1,)), frozenset([1]), labels, 3, held.__getitem__, 3)
    assert honest is labels


def test_samples_that_honest_clients_share_cannot_have_false_labels() -> None:
    labels, held = torch.tensor([0, 1, 2]), [np.array([0, 1]), np.array([1, 2])]
    with pytest.raises(ScenarioError, match="but client 0, which does not attack, has samples"):
        poisoned(LabelFlip(clients=(1,)), frozenset([1]), labels, 3, held.__getitem__, 2)
