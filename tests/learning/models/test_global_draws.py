"""One thread at a time draws from the global generators."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from small_training import CLASSES, linear, trainer
from torch import nn

from afl_sim.learning.models.global_draws import global_generators, may_draw


@pytest.mark.parametrize("draws", [True, False])
def test_runs_in_two_threads_draw_as_each_alone(draws: bool) -> None:
    """One initialises models while the other trains, which seeds for its layers' draws."""
    layers = [nn.Flatten(), nn.Dropout(0.5 if draws else 0), nn.Linear(4, CLASSES)]
    local = trainer(nn.Sequential(*layers), batch_size=2)

    def train() -> list[float]:
        start = local.initial
        return [local.train(0, task, 3, start, start, 1.0).loss for task in range(40)]

    def initialise() -> list[float]:
        found = []
        for seed in range(400):
            with global_generators(seed):
                found.append(float(torch.rand(50).sum() + torch.rand(50).sum()))
        return found

    alone = train(), initialise()
    with ThreadPoolExecutor(2) as pool:
        together = [pool.submit(train), pool.submit(initialise)]
        assert tuple(each.result() for each in together) == alone


def test_a_model_that_cannot_draw_does_not_seed() -> None:
    local = trainer(linear())
    before = torch.get_rng_state()
    local.train(0, 0, 2, local.initial, local.initial, 1.0)
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_layers_and_watched_ones_may_draw() -> None:
    watched = linear()
    watched[1].register_forward_hook(lambda layer, given, out: out + torch.rand(1))
    for model in (
        watched,
        nn.Sequential(nn.Linear(4, 2), nn.RReLU()),
        nn.LSTM(3, 3, 2, dropout=0.1),
    ):
        assert may_draw(model)
    assert not may_draw(nn.LSTM(3, 3, 2))  # it drops nothing, so that threads need not wait
