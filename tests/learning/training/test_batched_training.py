"""Clients trained together: each comes to what it would come to alone, but for rounding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from places import SMALLEST
from small_training import CLASSES, Held, linear, sgd, small_mlp, trainer
from torch import Tensor, nn

from afl_sim.execution.numerics import deterministic
from afl_sim.learning.training.batchable import ELEMENTWISE, batching_problems
from afl_sim.learning.training.batched_training import BatchedTrainer, LocalTask, clipped
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.learning.training.phase import Phase
from afl_sim.run.api import load_scenario
from afl_sim.run.preparation import prepare
from afl_sim.run.recipe import build_runner, recipe_of

SHARDS = Held(list(range(23)), [3, 1, 4, 15, 9, 2, 6], list(range(10)), [5, 8, 9])
STEPS = [5, 2, 0, 5]


@pytest.fixture(autouse=True)
def _as_in_a_run() -> Iterator[None]:
    with deterministic():
        yield


def starts(local: LocalTrainer, clients: int) -> list[Tensor]:
    """Models that differ from client to client."""
    draws = torch.Generator().manual_seed(8)
    vector = local.layout.read(local.model)
    return [vector + 0.1 * torch.randn(vector.shape, generator=draws) for _ in range(clients)]


def both_ways(
    model: nn.Module,
    steps: list[int] = STEPS,
    shards: Any = SHARDS,
    corrected: bool = False,
    factors: Sequence[float] = (),
    **settings: Any,
) -> tuple[list[LocalResult], list[LocalResult]]:
    """The results of clients 0, 1, ... one by one and together."""
    settings.setdefault("batch_size", 4)
    local = trainer(model, shards=shards, **settings)
    count = local.layout.num_parameters
    anchor = local.layout.read(model)[:count]
    tasks = [
        LocalTask(
            client,
            1,
            n,
            start,
            anchor,
            start[:count] if corrected and client else None,
            factors[client] if factors else 1.0,
        )
        for client, (n, start) in enumerate(zip(steps, starts(local, len(steps)), strict=True))
    ]
    together = BatchedTrainer(local).train(tasks, 0.5)
    alone = [
        local.train(
            t.client,
            t.task,
            t.steps,
            t.start,
            t.anchor,
            0.5,
            t.correction,
            Phase(proximal_factor=t.proximal_factor),
        )
        for t in tasks
    ]
    return alone, together


def assert_near(alone: list[LocalResult], together: list[LocalResult]) -> None:
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(b.vector, a.vector, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(b.delta, a.delta, rtol=1e-5, atol=1e-6)
        assert b.loss == pytest.approx(a.loss, rel=1e-5, nan_ok=True)
        assert b.vector.is_contiguous()
        assert not b.vector.requires_grad


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": sgd(momentum=0.9, weight_decay=0.1, nesterov=True)},
        {"optimizer": OPTIMIZERS["Adam"](lr=0.05)},
        {"clip_norm": 0.3},
        {"gradient_noise": 0.2},
        {"gradient_noise": 0.2, "clip_norm": 0.3, "proximal": 0.7},
        {"proximal": 0.7},
        {"proximal": 0.7, "factors": [0.5, 3.0, 1.0, 2.0]},
        {"proximal": 0.7, "clip_norm": 0.3, "optimizer": OPTIMIZERS["AdamW"](lr=0.05)},
        {"gradient": True},
        {"gradient": True, "gradient_noise": 0.2, "clip_norm": 0.2},
        {"gradient": True, "gradient_noise": 0.2, "shared_noise": True},
        {"gradient": True, "clip_norm": 0.2},
        {"batch_size": None},
        {"batch_size": None, "gradient": True},
        {"shuffle": False},
        {"drop_last": True},
        {"loss": "mse"},
        {"batch_size": 1},
        {"corrected": True},
        {"corrected": True, "proximal": 0.7, "clip_norm": 0.3},
        {"corrected": True, "gradient": True},
    ],
    ids=str,
)
def test_together_clients_come_to_what_they_come_to_alone(settings: dict[str, Any]) -> None:
    alone, together = both_ways(small_mlp(), **settings)
    assert_near(alone, together)
    assert together[2].vector is not None
    assert torch.equal(together[2].delta, torch.zeros(len(together[2].delta)))  # it had no steps


@pytest.mark.parametrize(
    "settings",
    [{}, {"gradient": True}, {"corrected": True, "optimizer": sgd(weight_decay=0.5)}],
    ids=str,
)
def test_a_frozen_parameter_stays_where_it_is(settings: dict[str, Any]) -> None:
    model = small_mlp()
    frozen = next(layer for layer in model if isinstance(layer, nn.Linear)).requires_grad_(False)
    count = sum(parameter.numel() for parameter in frozen.parameters())
    alone, together = both_ways(model, **settings)
    assert_near(alone, together)
    for result in (*alone, *together):
        assert not result.delta[:count].any()
    assert alone[0].delta[count:].any()


def test_log_probabilities_are_trained_too() -> None:
    model = nn.Sequential(linear(), nn.LogSoftmax(dim=1))
    assert_near(*both_ways(model, loss="nll"))


def test_a_convolution_is_trained_like_that_of_each_client() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 3, (1, 2)), nn.ReLU(), nn.MaxPool2d((1, 2)), nn.Flatten(), nn.Linear(3, 3)
    )
    assert_near(*both_ways(model))


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_optimizers_are_taken_if_they_keep_rows_apart_and_only_then(kind: str) -> None:
    alone, together = both_ways(small_mlp(), [3, 3], optimizer=OPTIMIZERS[kind](lr=0.05))
    apart = all(
        torch.allclose(a.delta, b.delta, rtol=1e-3, atol=1e-5)
        for a, b in zip(alone, together, strict=True)
    )
    assert apart == (kind in ELEMENTWISE)


@pytest.mark.parametrize("kind", sorted(ELEMENTWISE))
def test_an_optimizer_remembers_its_rows_when_others_are_done(kind: str) -> None:
    alone, together = both_ways(small_mlp(), [6, 1, 3, 6], optimizer=OPTIMIZERS[kind](lr=0.05))
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(b.delta, a.delta, rtol=1e-3, atol=1e-5)


def test_with_whom_a_client_is_trained_makes_no_difference_but_for_rounding() -> None:
    local = trainer(small_mlp(), shards=SHARDS, batch_size=8)
    count = local.layout.num_parameters
    tasks = [LocalTask(c, 0, 4, s, s[:count]) for c, s in enumerate(starts(local, 4))]
    batched = BatchedTrainer(local)
    everybody = batched.train(tasks, 1.0)
    reversed_order = batched.train(tasks[::-1], 1.0)[::-1]
    pair = batched.train(tasks[1:3], 1.0)
    assert_near(everybody, reversed_order)
    assert_near(everybody[1:3], pair)


def test_the_same_group_comes_to_the_same_bits() -> None:
    _, first = both_ways(small_mlp(), clip_norm=0.5, proximal=0.1)
    _, again = both_ways(small_mlp(), clip_norm=0.5, proximal=0.1)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.vector, b.vector)


def test_a_client_whose_model_explodes_leaves_the_others_alone() -> None:
    local = trainer(linear(), shards=SHARDS)
    count = local.layout.num_parameters
    start = local.layout.read(local.model)
    bad = torch.full_like(start, float("nan"))
    tasks = [LocalTask(c, 0, 3, s, s[:count]) for c, s in enumerate((start, bad, start))]
    good, broken, other = BatchedTrainer(local).train(tasks, 1.0)
    assert torch.isnan(broken.vector).all()
    assert torch.isfinite(good.vector).all()
    assert torch.isfinite(other.vector).all()


class Odd(nn.Module):
    """Has a parameter that nothing uses, a buffer, and two parameters with one gradient."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.weight = nn.Parameter(torch.randn(CLASSES, 4))
        self.other = nn.Parameter(torch.randn(CLASSES, 4))
        self.unused = nn.Parameter(torch.ones(2))
        self.register_buffer("scale", torch.tensor([0.5]))

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.linear(images.flatten(1), self.weight + self.other) * self.scale


@pytest.mark.parametrize("settings", [{}, {"proximal": 0.4, "clip_norm": 0.3}, {"gradient": True}])
def test_buffers_unused_parameters_and_shared_gradients_are_as_alone(
    settings: dict[str, Any],
) -> None:
    decaying = sgd(weight_decay=0.5, momentum=0.5)
    assert_near(*both_ways(Odd(), optimizer=decaying, **settings))


def test_rows_are_clipped_each_by_its_own_norm() -> None:
    gradients = [torch.tensor([[3.0, 0.0], [0.3, 0.0]]), None, torch.tensor([4.0, 0.4])]
    first, none, last = clipped(gradients, torch.tensor([1.0, 1.0]))
    assert none is None
    assert first is not None
    assert last is not None
    torch.testing.assert_close(first, torch.tensor([[0.6, 0.0], [0.3, 0.0]]))
    torch.testing.assert_close(last, torch.tensor([0.8, 0.4]))


# -- against exact float32, on MNIST ---------------------------------------------------------------


# Over 8 clients and seed 3, the largest difference of any parameter after ten steps was 1.1e-8
# (logistic), 3.0e-8 (lenet) and, where a pixel more or less passed a max-pool, 1.6e-4 (cnn); the
# bounds leave room for other processors.
@pytest.mark.parametrize(
    ("model", "clients", "bound"), [("logistic", 8, 1e-6), ("lenet", 4, 5e-4), ("cnn", 2, 5e-4)]
)
def test_ten_steps_are_near_those_of_exact_float32(model: str, clients: int, bound: float) -> None:
    trainers = []
    for mode in ("exact", "batched"):
        chosen = (f"model={model}", "training.batch_size=32", "training.optimizer.lr=0.05")
        scenario = load_scenario(SMALLEST, [*chosen, f"numerics.mode={mode}"])
        prepared = prepare(scenario)
        assert prepared.dataset is not None
        local, *_ = build_runner(recipe_of(scenario), prepared.dataset, prepared.partition)
        trainers.append(local)
    exact, stacked = trainers
    start = prepared.initial
    anchor = start[: exact.layout.num_parameters]
    tasks = [LocalTask(client, 0, 10, start, anchor) for client in range(clients)]
    together = BatchedTrainer(stacked).train(tasks, 1.0)
    for task, result in zip(tasks, together, strict=True):
        alone = exact.train(task.client, 0, 10, start, anchor, 1.0)
        assert float((alone.delta - result.delta).abs().max()) < bound
        assert float(alone.delta.abs().max()) > 10 * bound


# -- what cannot be trained like this --------------------------------------------------------------


class Draws(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(images.flatten(1)[:, :3], 0.5)


class Branches(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :3] * (2 if images.sum() > 0 else 1)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Dropout(0.5), "layer 1 (Dropout) draws random numbers"),
        (nn.BatchNorm2d(1), "layer 1 (BatchNorm2d) takes statistics over a mini-batch"),
        (nn.InstanceNorm2d(1, track_running_stats=True), "layer 1 (InstanceNorm2d) takes stat"),
        (
            Draws(),
            "it cannot be mapped over clients by numerics.mode: batched (vmap: called random",
        ),
        (Branches(), "it cannot be mapped over clients by numerics.mode: batched (vmap: It looks"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_model_that_cannot_be_batched_is_refused(layer: nn.Module, words: str) -> None:
    model = nn.Sequential(nn.Identity(), layer, nn.Flatten(), nn.LazyLinear(CLASSES))
    model(torch.zeros(2, 1, 2, 2))
    (problem,) = batching_problems(model, "SGD", torch.rand(6, 1, 2, 2))
    assert problem.startswith(f"model: {words}")
    assert problem.endswith("; expected another model, or numerics.mode: exact")


class OwnStatistics(nn.Module):
    """As batch normalisation keeps them, in a buffer that is set anew."""

    def __init__(self, persistent: bool, whole: bool) -> None:
        super().__init__()
        self.register_buffer(
            "mean", torch.zeros(1, dtype=torch.int64 if whole else None), persistent
        )

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.mean = self.mean + len(images)
        return images.flatten(1) - self.mean


@pytest.mark.parametrize(("persistent", "whole"), [(True, False), (False, False), (True, True)])
def test_a_buffer_that_training_changes_is_refused(persistent: bool, whole: bool) -> None:
    model = nn.Sequential(OwnStatistics(persistent, whole), nn.Linear(4, CLASSES))
    (problem,) = batching_problems(model, "SGD", torch.rand(6, 1, 2, 2))
    assert problem.startswith("model: buffer '0.mean' changes in training, which numerics.mode")
    assert model[0].mean.tolist() == [0]


class WithoutTheMean(nn.Module):
    """Takes the mean of the mini-batch away, and keeps nothing."""

    def __init__(self, share: float = 1.0, from_size: int = 0) -> None:
        super().__init__()
        self.share = share
        self.from_size = from_size
        self.out = nn.Linear(4, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flatten(1)
        if self.training and len(pixels) >= self.from_size:
            pixels = pixels - self.share * pixels.mean(0)
        return self.out(pixels)


class NormalisesByHand(nn.Module):
    """Batch normalisation as a function: no layer and no buffer tells of it."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(4, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(nn.functional.batch_norm(images.flatten(1), None, None, training=True))


class OnlyItsGradientMixes(nn.Module):
    """What is taken away is added again, without its gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 4)
        self.out = nn.Linear(4, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.hidden(images.flatten(1))
        mean = hidden.mean(0)
        return self.out(hidden - mean + mean.detach())


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        (WithoutTheMean(), ()),
        (WithoutTheMean(share=0.01), ()),
        (NormalisesByHand(), ()),
        (OnlyItsGradientMixes(), ()),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, CLASSES), nn.Softmax(dim=0)), ()),
        (WithoutTheMean(from_size=9), (4, 10)),
        (WithoutTheMean(from_size=9), (10, 12)),
    ],
    ids=["mean", "little", "function", "gradient", "softmax", "larger", "both"],
)
def test_a_model_that_mixes_samples_of_a_mini_batch_is_refused(
    model: nn.Module, sizes: tuple[int, ...]
) -> None:
    before = [p.clone() for p in model.parameters()]
    (problem,) = batching_problems(model, "SGD", torch.rand(12, 1, 2, 2), sizes)
    assert problem.startswith(
        "model: its output for a sample depends on the other samples of the mini-batch, which "
        "numerics.mode: batched fills up with samples of weight 0"
    )
    assert problem.endswith("; expected another model, or numerics.mode: exact")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


class MeanInAParameter(nn.Module):
    """A running mean in a frozen parameter, which no list of buffers has."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(4), requires_grad=False)
        self.out = nn.Linear(4, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flatten(1)
        if self.training:
            with torch.no_grad():
                self.mean.mul_(0.9).add_(0.1 * pixels.mean(0))
        return self.out(pixels - self.mean)


def test_a_parameter_that_a_forward_pass_changes_is_refused() -> None:
    model = MeanInAParameter()
    (problem,) = batching_problems(model, "SGD", torch.rand(6, 1, 2, 2))
    assert problem.startswith(
        "model: parameter 'mean' changes in a forward pass over a mini-batch, which "
    )
    assert not model.mean.any()


class GoesByTheNumberOfImages(nn.Module):
    """Takes another way for larger batches, to the same place."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(256, 4)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        values = self.words((images.flatten(1) * 255).long())
        summed = values.sum(1) if len(images) > 4 else values.mean(1) * 4
        return self.out(self.norm(summed))


@pytest.mark.parametrize("sizes", [(), (1,), (12,), (1, 3, 7, 12), (12, 400)], ids=str)
def test_a_model_that_keeps_samples_apart_is_taken_in_all_sizes(sizes: tuple[int, ...]) -> None:
    model = GoesByTheNumberOfImages()
    assert list(batching_problems(model, "SGD", torch.rand(12, 1, 2, 2), sizes)) == []


class HoldsItsWeights(nn.Module):
    """Keeps them in a list of its own, past which nothing can be put in their place."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, CLASSES)
        self.weights = [self.linear.weight]

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.linear(images.flatten(1), self.weights[0], self.linear.bias)


def test_a_model_that_stacking_would_change_is_refused() -> None:
    (problem,) = batching_problems(HoldsItsWeights(), "SGD", torch.rand(6, 1, 2, 2))
    assert problem.startswith("model: numerics.mode: batched computes something else than it does")


class Twice(nn.Module):
    """One layer under two names, and a weight that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.again = self.first
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.first.weight
        self.out = nn.Linear(4, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.tanh(self.again(torch.tanh(self.first(images.flatten(1)))))
        return self.out(self.tied(hidden))


def test_a_layer_that_is_used_twice_is_trained_and_is_the_model_s_own_afterwards() -> None:
    torch.manual_seed(2)
    model = Twice()
    weights = list(model.parameters())
    assert list(batching_problems(model, "SGD", torch.rand(6, 1, 2, 2))) == []
    local = trainer(model, batch_size=5, batched=True)
    task = LocalTask(0, 0, 4, local.initial, local.initial)
    other = LocalTask(1, 0, 4, local.initial * 1.1, local.initial * 1.1)
    results = BatchedTrainer(local).train([task, other], 1.0)
    assert all(a is b for a, b in zip(model.parameters(), weights, strict=True))
    for each, result in zip((task, other), results, strict=True):
        alone = local.train(each.client, 0, 4, each.start, each.anchor, 1.0)
        torch.testing.assert_close(result.vector, alone.vector, rtol=1e-4, atol=1e-5)
        assert float(alone.delta.norm()) > 0.01
    local.load(local.initial, "evaluation.dropout")
    assert model(torch.rand(2, 1, 1, 4)).shape == (2, CLASSES)


@pytest.mark.parametrize("layer", [nn.Dropout(0.0), nn.GroupNorm(1, 1), nn.InstanceNorm2d(1)])
def test_a_model_that_can_be_batched_is_taken(layer: nn.Module) -> None:
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(4, CLASSES))
    before = [p.clone() for p in model.parameters()]
    assert list(batching_problems(model, "SGD", torch.rand(6, 1, 2, 2))) == []
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_an_optimizer_that_mixes_entries_is_refused_unless_no_client_takes_a_step() -> None:
    (problem,) = batching_problems(linear(), "Adafactor", torch.rand(6, 1, 1, 4))
    assert problem.startswith("training.optimizer.kind: Adafactor does not treat each entry")
    assert not list(batching_problems(linear(), None, torch.rand(6, 1, 1, 4)))
