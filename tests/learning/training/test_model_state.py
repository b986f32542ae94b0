"""What a model keeps from one use to the next, and the order of its tensors in memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_training import CLASSES, SAMPLES, Held, Trainer, data, small_mlp, train, trainer
from torch import Tensor, nn

from afl_sim.learning.training.evaluation import Evaluator
from afl_sim.learning.training.full_gradient import FullGradient

pytestmark = pytest.mark.usefixtures("as_in_a_run")


def test_dropout_is_the_same_for_the_same_task_and_differs_between_tasks() -> None:
    def build() -> Trainer:
        torch.manual_seed(2)
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, CLASSES))
        return trainer(model, batch_size=None, shuffle=False)

    local = build()
    start = local.initial
    torch.manual_seed(0)
    first = train(local, 2, start=start).delta
    torch.manual_seed(1)
    torch.rand(100)
    assert torch.equal(train(build(), 2, start=start).delta, first)
    assert not torch.equal(train(local, 2, start=start, task=1).delta, first)
    assert not torch.equal(train(local, 2, start=start, client=1).delta, first)


def test_training_on_the_cpu_asks_nothing_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is asked of a GPU that is not there yet is kept for later, task after task.
    def asked(*_: Any) -> None:
        raise AssertionError("a GPU was asked for something")

    local = trainer(small_mlp())
    monkeypatch.setattr(torch.cuda, "manual_seed_all", asked)
    monkeypatch.setattr(torch.mps, "manual_seed", asked)
    monkeypatch.setattr(torch.xpu, "manual_seed_all", asked)
    assert train(local, steps=2).loss > 0


def normalised(momentum: float | None = 0.1) -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4, momentum=momentum), nn.Linear(4, CLASSES))


def test_batchnorm_statistics_travel_behind_the_parameters() -> None:
    local = trainer(normalised(), batch_size=None, shuffle=False)
    start = local.initial
    result = train(local, 1, start=start)
    count = local.layout.num_parameters
    assert len(result.delta) == count
    assert len(result.vector) == count + 8
    images, _ = data()
    x = images.flatten(1)
    # One batch: 0.9 * 0 + 0.1 * mean, and 0.9 * 1 + 0.1 * var.
    torch.testing.assert_close(result.vector[count : count + 4], 0.1 * x.mean(0))
    torch.testing.assert_close(result.vector[count + 4 :], 0.9 + 0.1 * x.var(0))
    # They are where the next task begins.
    again = train(local, 1, start=result.vector)
    expected = 0.9 * result.vector[count : count + 4] + 0.1 * x.mean(0)
    torch.testing.assert_close(again.vector[count : count + 4], expected)


def test_a_gradient_task_brings_its_statistics_along() -> None:
    local = trainer(normalised(), batch_size=None, gradient=True)
    start = local.initial
    result = train(local, 1, start=start)
    count = local.layout.num_parameters
    assert torch.equal(result.vector[:count], start[:count])
    assert not torch.equal(result.vector[count:], start[count:])


def test_statistics_that_count_batches_do_not_remember_the_task_before() -> None:
    # With momentum None, BatchNorm averages over all batches it has counted, in an integer buffer
    # that does not travel.
    local = trainer(normalised(momentum=None), batch_size=5)
    start = local.initial
    first = train(local, 3, start=start)
    assert torch.equal(train(local, 3, start=start).vector, first.vector)


class Counts(nn.Module):
    """A linear model whose scale depends on how many batches it was trained on."""

    def __init__(self, in_place: bool = False) -> None:
        super().__init__()
        self.head, self.in_place = nn.Linear(4, CLASSES), in_place
        self.batches: Tensor
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor) -> Tensor:
        if self.training and self.in_place:
            self.batches += 1
        elif self.training:
            self.batches = self.batches + 1
        return self.head(images.flatten(1)) * (1 + self.batches)


def evaluator(local: Trainer) -> Evaluator:
    return Evaluator(local, local.inputs, local.labels, CLASSES, "cross_entropy")


@pytest.mark.parametrize("in_place", [True, False])
def test_a_count_does_not_stay_from_the_task_before(in_place: bool) -> None:
    local = trainer(Counts(in_place), batch_size=5)
    before = evaluator(local).evaluate(local.initial)
    first = train(local, 3)
    assert evaluator(local).evaluate(local.initial) == before
    train(local, 2)
    assert torch.equal(train(local, 3).delta, first.delta)


class AlwaysDrops(nn.Module):
    """Drops units in evaluations too, as ``F.dropout`` does unless told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(nn.functional.dropout(images.flatten(1)))


def test_an_evaluation_that_draws_does_not_depend_on_what_was_done_before() -> None:
    local = trainer(AlwaysDrops(), batch_size=5)
    gradient = FullGradient(local, Held(samples=SAMPLES), 1)
    before = evaluator(local).evaluate(local.initial), gradient.squared_norm(local.initial)
    train(local, 1, task=7)
    assert (
        evaluator(local).evaluate(local.initial),
        gradient.squared_norm(local.initial),
    ) == before


def test_what_a_model_keeps_from_an_evaluation_can_be_trained_with() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.scale = nn.Linear(4, CLASSES), None

        def forward(self, images: Tensor) -> Tensor:
            if self.scale is None:  # made once, when the size is known
                self.scale = torch.linspace(0.5, 1.0, CLASSES)
            return self.head(images.flatten(1)) * self.scale

    local = trainer(Keeps(), batch_size=5)
    evaluator(local).evaluate(local.initial)
    assert train(local).delta.any()


class Flattens(nn.Module):
    """Convolves and flattens with ``view``, which takes PyTorch's own order in memory alone."""

    def __init__(self, *features: nn.Module, view: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.head = nn.Linear(3 * 3 * 3, CLASSES)
        self.view = view

    def forward(self, images: Tensor) -> Tensor:
        maps = self.features(images)
        flat = maps.view(-1, 27) if self.view else maps.reshape(-1, 27)
        return self.head(flat)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])  # with and without a layer of our own
def test_a_model_that_needs_pytorchs_own_order_in_memory_is_trained(activation: Any) -> None:
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    sample = images, torch.arange(6) % CLASSES
    results = []
    for view in (True, False):
        torch.manual_seed(4)
        layers = nn.Conv2d(1, 3, 3), nn.MaxPool2d(2), activation()
        local = trainer(Flattens(*layers, view=view), sample, batch_size=3)
        assert len(local.outputs(images)) == 6
        results.append(train(local, 4))
    assert results[0].delta.any()
    torch.testing.assert_close(results[0].vector, results[1].vector, rtol=1e-5, atol=1e-6)


def test_a_model_with_parameters_of_five_dimensions_is_trained() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.head = nn.Conv3d(1, 2, (1, 1, 3)), nn.Linear(4, CLASSES)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.convolution(images.unsqueeze(2)).flatten(1))

    assert train(trainer(Deep(), batch_size=5), 2).delta.all()
