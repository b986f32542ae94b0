"""Local training against a plain loop, and its losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from small_training import (
    CLASSES,
    SAMPLES,
    Trainer,
    addressed_batches,
    data,
    linear,
    plain_loop,
    sgd,
    small_mlp,
    train,
    trainer,
)
from torch import Tensor, nn

from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.built_in import MODELS
from afl_sim.learning.training.optimizers import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("as_in_a_run")


def plain_sgd(weights: list[Tensor], gradients: list[Tensor], memory: dict[str, Any]) -> None:
    for weight, gradient in zip(weights, gradients, strict=True):
        weight -= 0.1 * gradient


def momentum(weights: list[Tensor], gradients: list[Tensor], memory: dict[str, Any]) -> None:
    velocities = memory.setdefault("v", [torch.zeros_like(w) for w in weights])
    for weight, gradient, velocity in zip(weights, gradients, velocities, strict=True):
        velocity.mul_(0.9).add_(gradient)
        weight -= 0.1 * velocity


def adam(weights: list[Tensor], gradients: list[Tensor], memory: dict[str, Any]) -> None:
    t = memory["t"] = memory.get("t", 0) + 1
    means = memory.setdefault("m", [torch.zeros_like(w) for w in weights])
    squares = memory.setdefault("v", [torch.zeros_like(w) for w in weights])
    for weight, gradient, m, v in zip(weights, gradients, means, squares, strict=True):
        m.mul_(0.9).add_(0.1 * gradient)
        v.mul_(0.999).add_(0.001 * gradient**2)
        weight -= 0.05 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)


@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        (sgd(0.1), plain_sgd),
        (sgd(0.1, momentum=0.9), momentum),
        (OPTIMIZERS["Adam"](lr=0.05), adam),
    ],
    ids=["sgd", "momentum", "adam"],
)
def test_it_is_a_plain_loop_over_the_batches_that_the_streams_name(
    optimizer: Any, rule: Any
) -> None:
    # 23 samples in batches of 5: four whole batches and one of 3; 12 steps cross two epochs.
    local = trainer(small_mlp(), optimizer=optimizer, batch_size=5)
    result = train(local, 12, client=3, task=2)
    reference = small_mlp()
    before = torch.cat([p.detach().reshape(-1) for p in reference.parameters()])
    batches = addressed_batches(np.arange(SAMPLES), client=3, task=2, size=5, steps=12)
    expected = plain_loop(reference, data(), batches, rule)
    torch.testing.assert_close(result.vector, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(result.delta, expected - before, rtol=1e-4, atol=1e-6)
    assert (expected - before).norm() > 0.1  # the agreement is not that of two loops at rest


def test_the_optimizer_starts_afresh_in_every_task() -> None:
    local = trainer(small_mlp(), optimizer=OPTIMIZERS["Adam"](lr=0.05), batch_size=5)
    start = local.initial
    first = train(local, 4, start=start)
    train(local, 7, client=1, start=first.vector)  # leaves momenta and gradients behind, if any do
    assert torch.equal(train(local, 4, start=start).vector, first.vector)


@pytest.mark.parametrize("kind", ["logistic", "lenet"])
def test_a_task_is_a_pure_function_of_its_arguments(kind: str) -> None:
    images, labels = torch.randn(20, 1, 28, 28), torch.randint(0, 10, (20,))

    def build() -> Trainer:
        model = MODELS[kind]().build(SampleForm((1, 28, 28), 10))
        return trainer(model, (images, labels), batch_size=8)

    local, other = build(), build()
    start = local.initial
    kept, anchor = start.clone(), torch.zeros(local.layout.num_parameters)
    result = train(local, 5, start=start, anchor=anchor)
    train(local, 3, client=1, start=result.vector)
    assert torch.equal(start, kept)
    assert not anchor.any()
    assert torch.equal(train(local, 5, start=start, anchor=anchor).vector, result.vector)
    assert torch.equal(train(other, 5, start=start, anchor=anchor).vector, result.vector)


def test_a_result_does_not_change_when_the_next_task_is_trained() -> None:
    local = trainer(linear(), batch_size=5)
    result = train(local, 3)
    kept = result.vector.clone(), result.delta.clone()
    train(local, 3, client=1)
    assert torch.equal(result.vector, kept[0])
    assert torch.equal(result.delta, kept[1])


def test_the_loss_is_the_mean_over_all_samples_processed() -> None:
    # A rate of zero holds the model still. Three steps of 10, 10 and 3 samples see each once.
    local = trainer(linear(), optimizer=sgd(0.0), batch_size=10)
    images, labels = data()
    expected = float(nn.functional.cross_entropy(linear()(images).detach(), labels))
    assert train(local, 3).loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "nll", "mse"])
def test_each_loss_is_the_one_of_its_name(name: str) -> None:
    images, labels = data()
    outputs = linear()(images).detach()
    rows = torch.arange(SAMPLES)
    by_hand = {
        "cross_entropy": -torch.log_softmax(outputs, 1)[rows, labels].mean(),
        "nll": -outputs[rows, labels].mean(),
        "mse": ((outputs - torch.eye(CLASSES)[labels]) ** 2).mean(),
    }[name]
    local = trainer(linear(), optimizer=sgd(0.0), batch_size=None, loss=name)
    assert train(local, 1).loss == pytest.approx(float(by_hand), rel=1e-5)


@pytest.mark.parametrize("gradient", [False, True])
def test_zero_steps_leave_the_model_where_it_is(gradient: bool) -> None:
    local = trainer(linear(), gradient=gradient)
    start = local.initial
    result = train(local, 0, start=start)
    assert torch.equal(result.vector, start)
    assert result.delta.shape == (local.layout.num_parameters,)
    assert not result.delta.any()
    assert math.isnan(result.loss)
