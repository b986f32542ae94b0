"""The proximal term, clipping, the learning rate, and tasks that return a gradient."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from small_training import CLASSES, data, linear, sgd, train, trainer
from torch import Tensor, nn

from afl_sim.learning.training.phase import Phase

pytestmark = pytest.mark.usefixtures("as_in_a_run")


def flat() -> tuple[Tensor, Tensor]:
    """Data of zeros: the weights of a linear model without bias get no gradient from it."""
    return torch.zeros(6, 1, 1, 2), torch.zeros(6, dtype=torch.int64)


def no_bias() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(2, CLASSES, bias=False))


def test_the_proximal_gradient_is_mu_times_the_distance_to_the_anchor() -> None:
    # Nothing else pulls, so that w - a shrinks by 1 - lr mu = 1 - 0.1 * 0.5 = 0.95 in each step.
    local = trainer(no_bias(), flat(), batch_size=2, proximal=0.5)
    start = torch.tensor([1.0, 2, 3, 4, 5, 6])
    anchor = torch.tensor([3.0, 2, 1, 0, -1, 4])
    one = train(local, 1, start=start, anchor=anchor)
    # By hand: -0.05 * (-2, 0, 2, 4, 6, 2)
    torch.testing.assert_close(one.delta, torch.tensor([0.1, 0.0, -0.1, -0.2, -0.3, -0.1]))
    four = train(local, 4, start=start, anchor=anchor)
    torch.testing.assert_close(four.vector, anchor + 0.95**4 * (start - anchor))


def test_a_task_may_have_a_proximal_weight_of_its_own() -> None:
    # 1 - lr mu = 1 - 0.1 * 0.5 * 3 = 0.85
    local = trainer(no_bias(), flat(), batch_size=2, proximal=0.5)
    start, anchor = torch.tensor([1.0, 2, 3, 4, 5, 6]), torch.tensor([3.0, 2, 1, 0, -1, 4])
    two = local.train(0, 0, 2, start, anchor, 1.0, phase=Phase(proximal_factor=3.0))
    torch.testing.assert_close(two.vector, anchor + 0.85**2 * (start - anchor))


def test_the_proximal_gradient_adds_to_that_of_the_loss() -> None:
    settings: dict[str, Any] = {"batch_size": 5, "optimizer": sgd(0.1)}
    plain, pulled = trainer(linear(), **settings), trainer(linear(), proximal=2.0, **settings)
    start = plain.initial
    anchor = start - torch.linspace(-1, 1, len(start))
    extra = train(pulled, 1, anchor=anchor).delta - train(plain, 1, anchor=anchor).delta
    # -lr mu (w - a)
    torch.testing.assert_close(extra, -0.1 * 2.0 * torch.linspace(-1, 1, len(start)))


def test_the_reported_loss_leaves_the_proximal_term_out() -> None:
    far = torch.full((6,), 100.0)
    local = trainer(no_bias(), flat(), batch_size=None, proximal=0.5)
    assert train(local, 1, anchor=far).loss == pytest.approx(math.log(CLASSES))


def test_a_parameter_that_the_loss_does_not_reach_stays_where_it_is() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(4, CLASSES), nn.Linear(2, 2)

        def forward(self, images: Tensor) -> Tensor:
            return self.used(images.flatten(1))

    for settings in ({"proximal": 0.5}, {"gradient": True}, {"clip_norm": 1.0}, {}):
        local = trainer(Spare(), batch_size=5, **settings)
        result = train(local, 2, anchor=torch.zeros(local.layout.num_parameters))
        assert not result.delta[-6:].any()
        assert result.delta[:-6].any()


def test_clipping_limits_the_norm_of_the_gradient_and_keeps_its_direction() -> None:
    free = train(trainer(linear(), batch_size=None)).delta / -0.1
    norm = float(free.norm())
    clipped = train(trainer(linear(), batch_size=None, clip_norm=norm / 4)).delta / -0.1
    torch.testing.assert_close(clipped, free / 4, rtol=1e-4, atol=1e-6)
    loose = train(trainer(linear(), batch_size=None, clip_norm=norm * 2)).delta / -0.1
    assert torch.equal(loose, free)


def test_clipping_covers_the_proximal_gradient() -> None:
    # The gradient is mu (w - a) = 0.5 * (6, 8, 0, ...): norm 5, clipped to 1.
    local = trainer(no_bias(), flat(), batch_size=None, proximal=0.5, clip_norm=1.0)
    start = torch.tensor([6.0, 8, 0, 0, 0, 0])
    delta = train(local, 1, start=start, anchor=torch.zeros(6)).delta
    torch.testing.assert_close(
        delta, -0.1 * torch.tensor([0.6, 0.8, 0, 0, 0, 0]), rtol=1e-5, atol=1e-7
    )


def test_the_learning_rate_factor_scales_the_step() -> None:
    local = trainer(linear(), batch_size=5)
    full, quarter = train(local).delta, train(local, lr_factor=0.25).delta
    torch.testing.assert_close(quarter, full / 4, rtol=1e-5, atol=1e-7)


def exact_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The mean gradient in double precision."""
    double = model.double()
    loss = nn.functional.cross_entropy(double(images.double()), labels)
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(double.parameters()))])


def test_a_gradient_task_returns_minus_g_even_where_g_is_tiny() -> None:
    # Inputs of 1e-4 make gradients of about 1e-5 beside weights of almost 1.
    images, labels = data()
    images = images * 1e-4
    exact = exact_gradient(no_bias_of(4), images, labels)
    assert 3e-6 < exact.abs().mean() < 3e-5

    def error(delta: Tensor) -> float:
        return float((delta.double() + exact).norm() / exact.norm())

    gradient = trainer(no_bias_of(4), (images, labels), batch_size=None, gradient=True)
    assert error(train(gradient).delta) < 1e-6
    # The difference of parameters after a step loses what a float32 of size 1 cannot hold.
    difference = trainer(no_bias_of(4), (images, labels), batch_size=None, optimizer=sgd(1.0))
    assert error(train(difference).delta) > 1e-4


def no_bias_of(size: int) -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Flatten(), nn.Linear(size, CLASSES, bias=False))


def test_a_gradient_over_several_batches_is_the_mean_over_samples() -> None:
    # Batches of 10, 10 and 3: each sample counts once, not each batch.
    exact = exact_gradient(linear(), *data())
    local = trainer(linear(), batch_size=10, gradient=True)
    delta = train(local, 3).delta
    torch.testing.assert_close(delta.double(), -exact, rtol=1e-5, atol=1e-7)


def test_a_gradient_task_moves_no_parameter() -> None:
    local = trainer(linear(), batch_size=10, gradient=True)
    start = local.initial
    result = train(local, 3, start=start)
    assert torch.equal(result.vector, start)
    assert torch.equal(train(local, 3, start=start).delta, result.delta)  # nothing piles up


def test_a_gradient_in_memory_order_of_channels_last_is_returned_in_the_models_order() -> None:
    images, labels = torch.randn(8, 3, 6, 6), torch.randint(0, CLASSES, (8,))

    def convolution() -> nn.Module:
        torch.manual_seed(3)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, CLASSES))

    exact = exact_gradient(convolution(), images, labels)
    gradient = train(trainer(convolution(), (images, labels), batch_size=None, gradient=True)).delta
    torch.testing.assert_close(gradient.double(), -exact, rtol=1e-4, atol=1e-6)
    step = train(
        trainer(convolution(), (images, labels), batch_size=None, optimizer=sgd(0.1))
    ).delta
    torch.testing.assert_close(step.double(), -0.1 * exact, rtol=1e-3, atol=1e-6)


def test_a_gradient_is_clipped_to_the_norm() -> None:
    free = train(trainer(linear(), batch_size=10, gradient=True), 3).delta
    half = float(free.norm()) / 2
    clipped = train(trainer(linear(), batch_size=10, gradient=True, clip_norm=half), 3).delta
    torch.testing.assert_close(clipped, free / 2, rtol=1e-4, atol=1e-6)
