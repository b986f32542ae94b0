"""Local training against a plain loop, and the numbers that can be worked out by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from small_training import (
    CLASSES,
    SAMPLES,
    SEED,
    Held,
    Remembers,
    Trainer,
    addressed_batches,
    data,
    linear,
    numbered,
    plain_loop,
    sgd,
    small_mlp,
    trainer,
)
from torch import Tensor, nn

from afl_sim.errors import ScenarioError
from afl_sim.execution.numerics import deterministic
from afl_sim.learning.models.built_in import MODELS
from afl_sim.learning.training.evaluation import Evaluator
from afl_sim.learning.training.full_gradient import FullGradient
from afl_sim.learning.training.local_training import LocalResult
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.scenario import Distribution
from afl_sim.streams import Streams
from afl_sim.world.tasks.workload import Workload


@pytest.fixture(autouse=True)
def _as_in_a_run() -> Iterator[None]:
    with deterministic():
        yield


def train(
    local: Trainer,
    steps: int = 1,
    *,
    client: int = 0,
    task: int = 0,
    start: Tensor | None = None,
    anchor: Tensor | None = None,
    lr_factor: float = 1.0,
) -> LocalResult:
    start = local.initial if start is None else start
    anchor = start[: local.layout.num_parameters] if anchor is None else anchor
    return local.train(client, task, steps, start, anchor, lr_factor)


# -- against a plain loop ----------------------------------------------------------------------


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
        model = MODELS[kind]().build((1, 28, 28), 10)
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


# -- which samples, in which order ---------------------------------------------------------------


def seen(
    steps: int, samples: int = SAMPLES, shards: Any = None, **settings: Any
) -> list[list[int]]:
    model = Remembers()
    local = trainer(model, numbered(samples), shards, **settings)
    train(local, steps, client=1, task=4)
    return model.seen


def test_steps_go_on_into_the_next_epoch_in_a_new_order() -> None:
    batches = seen(9, batch_size=5)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3, 5, 5, 5, 5]
    first = [i for batch in batches[:5] for i in batch]
    second = [i for batch in batches[5:] for i in batch]
    assert sorted(first) == list(range(SAMPLES))
    assert len(set(second)) == 20
    assert first[:20] != second
    named = addressed_batches(np.arange(SAMPLES), client=1, task=4, size=5, steps=9)
    assert batches == [batch.tolist() for batch in named]


def test_without_shuffling_every_epoch_is_in_the_order_held() -> None:
    held = [7, 3, 20, 4]
    assert seen(4, shards=Held([], held), shuffle=False, batch_size=3) == [[7, 3, 20], [4]] * 2


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.filterwarnings("error")
def test_indices_that_may_not_be_written_to_raise_no_warning(shuffle: bool) -> None:
    torch.set_warn_always(True)  # else torch warns once in a process, perhaps long before this
    try:
        seen(2, shuffle=shuffle, batch_size=5)
    finally:
        torch.set_warn_always(False)


def test_drop_last_leaves_out_the_smaller_batch() -> None:
    batches = seen(8, batch_size=5, drop_last=True)
    assert [len(batch) for batch in batches] == [5] * 8
    assert len({i for batch in batches[:4] for i in batch}) == 20


def test_drop_last_keeps_the_only_batch() -> None:
    assert [len(batch) for batch in seen(2, samples=4, batch_size=5, drop_last=True)] == [4, 4]


def test_a_full_batch_is_everything_the_client_holds() -> None:
    held = [1, 5, 9]
    batches = seen(3, shards=Held([0], held), batch_size=None)
    assert [sorted(batch) for batch in batches] == [held] * 3


def test_another_task_and_another_client_see_other_orders() -> None:
    def order(client: int, task: int, seed: int = 1) -> list[int]:
        model = Remembers()
        train(trainer(model, numbered(), seed=seed, batch_size=None), 1, client=client, task=task)
        return model.seen[0]

    orders = [order(0, 0), order(0, 1), order(1, 0), order(0, 0, seed=2)]
    assert len({tuple(o) for o in orders}) == 4
    assert order(0, 0) == orders[0]


@pytest.mark.parametrize("samples", [1, 4, 5, 6, 23])
@pytest.mark.parametrize("size", [1, 5, 30, None])
@pytest.mark.parametrize("drop_last", [False, True])
def test_training_processes_as_many_samples_as_virtual_time_counts(
    samples: int, size: int | None, drop_last: bool
) -> None:
    one = Distribution(1)
    workload = Workload(lambda client: samples, size, one, None, drop_last, Streams(0))
    for steps in (1, 2, 7, 11):
        batches = seen(steps, samples=samples, batch_size=size, drop_last=drop_last)
        assert len(batches) == steps
        assert sum(map(len, batches)) == workload.samples(1, steps)
    epoch = seen(workload.task_steps(1, 0), samples=samples, batch_size=size, drop_last=drop_last)
    visited = [sample for batch in epoch for sample in batch]
    assert len(set(visited)) == len(visited)  # one epoch repeats nothing


@pytest.mark.parametrize(("key", "steps"), [("steps", "1e+18"), ("epochs", "4e+18")])
def test_a_draw_of_more_work_than_can_be_counted_names_its_key(key: str, steps: str) -> None:
    law = Distribution({"sequence": [1, 1e18]})
    amounts = {"epochs": None, "steps": None, key: law}
    workload = Workload(
        lambda client: 40, 10, amounts["epochs"], amounts["steps"], False, Streams(0)
    )
    assert workload.task_steps(3, 0) in (1, 4)
    told = f"training.{key}: client 3's task 1 has {steps} local steps; expected at most"
    with pytest.raises(ScenarioError, match=f"^{re.escape(told)}"):
        workload.task_steps(3, 1)


# -- proximal term, clipping, learning rate --------------------------------------------------------


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


# -- gradient tasks --------------------------------------------------------------------------------


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


# -- edges -----------------------------------------------------------------------------------------


def noise_of(client: int, task: int, size: int) -> Tensor:
    draws = Streams(SEED).generator("gradient_noise", client, task)
    return torch.from_numpy(draws.standard_normal(size, dtype=np.float32))


def test_gradient_noise_is_the_stream_s_and_has_its_standard_deviation() -> None:
    plain = train(trainer(linear(), gradient=True), client=3, task=2)
    noisy = train(trainer(linear(), gradient=True, gradient_noise=0.5), client=3, task=2)
    added = plain.delta - noisy.delta
    torch.testing.assert_close(added, 0.5 * noise_of(3, 2, len(added)), rtol=1e-4, atol=1e-5)
    assert noisy.loss == plain.loss
    other = train(trainer(linear(), gradient=True, gradient_noise=0.5), client=3, task=3)
    assert not torch.equal(other.delta, noisy.delta)


def test_every_step_has_noise_of_its_own() -> None:
    draws = Streams(SEED).generator("gradient_noise", 0, 0)
    lr, sigma = 0.1, 1e3  # next to which the gradient is nothing
    result = train(trainer(linear(), optimizer=sgd(lr), gradient_noise=sigma), steps=2)
    size = len(result.delta)
    both = sum(draws.standard_normal(size, dtype=np.float32) for _ in range(2))
    torch.testing.assert_close(
        result.delta, torch.from_numpy(-lr * sigma * both), rtol=1e-2, atol=0.5
    )


def test_the_noise_of_several_batches_is_averaged_with_them() -> None:
    def gradient(sigma: float) -> Tensor:
        local = trainer(linear(), gradient=True, batch_size=SAMPLES, gradient_noise=sigma)
        return train(local, steps=2).delta

    draws = Streams(SEED).generator("gradient_noise", 0, 0)
    size = len(gradient(0.0))
    mean = sum(draws.standard_normal(size, dtype=np.float32) for _ in range(2)) / 2
    torch.testing.assert_close(
        gradient(0.0) - gradient(2.0), torch.from_numpy(2 * mean), rtol=1e-4, atol=1e-5
    )


def test_clipping_covers_the_noise() -> None:
    noisy = train(trainer(linear(), gradient=True, gradient_noise=100.0, clip_norm=1.0))
    assert float(noisy.delta.norm()) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("gradient", [False, True])
def test_zero_steps_leave_the_model_where_it_is(gradient: bool) -> None:
    local = trainer(linear(), gradient=gradient)
    start = local.initial
    result = train(local, 0, start=start)
    assert torch.equal(result.vector, start)
    assert result.delta.shape == (local.layout.num_parameters,)
    assert not result.delta.any()
    assert math.isnan(result.loss)


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


# -- what models do of their own accord ------------------------------------------------------------


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
    return Evaluator(local, local.images, local.labels, CLASSES, "cross_entropy")


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


# -- orders in memory ------------------------------------------------------------------------------


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
