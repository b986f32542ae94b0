"""A model is trained in a faster form only where that computes what the model does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_training import CLASSES, Held, addressed_batches, plain_loop, trainer
from torch import Tensor, nn

from afl_sim.execution.numerics import deterministic
from afl_sim.learning.data.batch_sizes import BatchSizes
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.families.convolutional import Cnn, LeNet
from afl_sim.learning.models.few_channels import PooledConvolution
from afl_sim.learning.models.quicker import quickened

SHAPE, WIDER = (2, 12, 12), (2, 16, 16)


@pytest.fixture(autouse=True)
def _as_in_a_run() -> Iterator[None]:
    with deterministic():
        yield


def three(inputs: int = 2) -> nn.Sequential:
    """The three layers that `PooledConvolution` stands for."""
    return nn.Sequential(nn.Conv2d(inputs, 4, 5), nn.MaxPool2d(2), nn.ReLU())


class Model(nn.Module):
    """Three layers in a chain of a module's own, and what they lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.net = three()
        self.out = nn.Linear(4, CLASSES)


class TakesOneLayer(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.net[0](x)).mean((2, 3)))


class TakesASlice(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.net[:2](x)).mean((2, 3)))


class LooksInBetween(Model):
    def forward(self, x: Tensor) -> Tensor:
        taps = []
        for layer in self.net:
            x = layer(x)
            taps.append(x.mean((2, 3)))
        return self.out(taps[0] + taps[2])


class BlockInAChain(nn.Module):
    """A module of somebody's own in a chain, with a chain of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.net = three()

    def forward(self, x: Tensor) -> Tensor:
        return self.net[0](x).mean((2, 3))


class GoesByStrides(Model):
    """Takes the numbers in the order of their memory, without asking which that is."""

    def forward(self, x: Tensor) -> Tensor:
        maps = self.net[0](x)
        return self.out(torch.as_strided(maps, (len(x), 4), (maps[0].numel(), 1)))


class DropsOnMaps(Model):
    """Dropout draws in the order of the memory."""

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.dropout(self.net[0](x), 0.5, self.training).mean((2, 3)))


class SharesMemory(Model):
    """A part of a weight under another name, which moves with it."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = [self.net[0].weight.detach()[:, :1]]

    def forward(self, x: Tensor) -> Tensor:
        maps = F.conv2d(x[:, :1], self.parts[0]) + self.net(x).mean((2, 3), keepdim=True)
        return self.out(maps.mean((2, 3)))


class Closure(Model):
    """What it calls is no part of its copies."""

    def __init__(self) -> None:
        super().__init__()
        convolution = self.net[0]
        self.maps = lambda x: convolution(x).view(len(x), -1).view(len(x), 4, -1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.maps(x).mean(2))


def block_in_a_chain() -> nn.Module:
    return nn.Sequential(nn.Sequential(BlockInAChain()), nn.Linear(4, CLASSES))


@pytest.mark.parametrize(
    "build",
    [
        TakesOneLayer,
        TakesASlice,
        LooksInBetween,
        block_in_a_chain,
        GoesByStrides,
        DropsOnMaps,
        SharesMemory,
        Closure,
    ],
)
def test_a_model_of_ones_own_is_trained_as_pytorch_trains_it(
    build: Callable[[], nn.Module],
) -> None:
    def built() -> nn.Module:
        torch.manual_seed(2)
        return build()

    draws = torch.Generator().manual_seed(3)
    sample = torch.randn(6, *SHAPE, generator=draws), torch.tensor([0, 1, 2, 0, 1, 2])
    local = trainer(built(), sample, Held(samples=6), batch_size=3)
    found = local.train(0, 0, 4, local.initial, local.initial, 1.0).vector
    plain = built()
    local.load(local.initial, "dropout", 0, 0)  # seeds what layers draw, as for the task

    def rule(weights: list[Tensor], gradients: list[Tensor], memory: object) -> None:
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= 0.1 * gradient

    expected = plain_loop(plain, sample, addressed_batches(np.arange(6), 0, 0, 3, 4), rule)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert float((expected - local.initial).norm()) > 0.01


def pools(model: nn.Module) -> int:
    return sum(isinstance(module, PooledConvolution) for module in model.modules())


def is_reordered(model: nn.Module) -> bool:
    weights = [weight for weight in model.parameters() if weight.dim() == 4]
    return all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def normalised() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout2d(0.5)),
        *(nn.Conv2d(6, 6, 3, groups=2), nn.GroupNorm(3, 6), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(96, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES)),
    )


@pytest.mark.parametrize(
    ("build", "shape", "pooled"),
    [
        (lambda: LeNet().build(SampleForm((1, 28, 28), 10)), (1, 28, 28), 2),
        (lambda: Cnn(hidden=32).build(SampleForm((1, 28, 28), 10)), (1, 28, 28), 0),
        (
            lambda: Cnn(channels=(8, 8), padding=0, dropout=0.5).build(SampleForm(WIDER, 10)),
            WIDER,
            2,
        ),
        (normalised, SHAPE, 0),
        (lambda: nn.Sequential(three(), nn.Flatten(), nn.Linear(64, CLASSES)), SHAPE, 1),
    ],
    ids=["lenet", "cnn", "few channels", "normalised", "nested"],
)
def test_a_chain_of_layers_is_quickened(
    build: Callable[[], nn.Module], shape: tuple[int, int, int], pooled: int
) -> None:
    model = build()
    names = list(model.state_dict())
    quick = quickened(model, torch.Size(shape), pool=True)
    assert pools(quick) == pooled
    assert is_reordered(quick)
    assert list(quick.state_dict()) == names
    assert pools(model) == 0  # the user's own modules are as they were
    weights = zip(quick.parameters(), model.parameters(), strict=True)
    assert all(mine is theirs for mine, theirs in weights)


def test_a_part_that_somebody_else_holds_stays_whole_for_them() -> None:
    """The chain is quickened where it is called as one, and not where it is taken apart."""
    inner = three()

    class Taps(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return maps.mean((2, 3)) + inner[0](torch.ones(1, *SHAPE).to(maps.dtype)).mean()

    model = nn.Sequential(inner, Taps(), nn.Linear(4, CLASSES))
    assert pools(quickened(model, torch.Size(SHAPE), pool=True)) == 0  # a copy has not its own
    quick = quickened(nn.Sequential(inner, nn.Flatten()), torch.Size(SHAPE), pool=True)
    assert pools(quick) == 1
    assert [type(layer) for layer in inner] == [nn.Conv2d, nn.MaxPool2d, nn.ReLU]


def test_a_frozen_convolution_is_compared_too() -> None:
    model = nn.Sequential(three(), nn.Flatten(), nn.Linear(64, CLASSES))
    model[0].requires_grad_(False)
    quick = quickened(model, torch.Size(SHAPE), pool=True)
    assert pools(quick) == 1
    assert not any(weight.requires_grad for weight in quick[0].parameters())  # type: ignore[index]
    assert all(weight.grad is None for weight in model.parameters())


def test_trying_a_model_draws_nothing_from_the_global_generator() -> None:
    model = normalised()
    before, buffers = torch.random.get_rng_state(), [b.clone() for b in model.buffers()]
    quickened(model, torch.Size(SHAPE), pool=True)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), buffers, strict=True))


class Branches(Model):
    """Goes by strides, or asks for one order, in some batches only."""

    def __init__(self, branch: str, least: int, training: bool) -> None:
        super().__init__()
        self.branch = branch
        self.least = least
        self.when = training

    def forward(self, x: Tensor) -> Tensor:
        maps = self.net[0](x)
        if len(x) < self.least or self.training != self.when:
            return self.out(maps.flatten(1)[:, :4])
        if self.branch == "view":
            return self.out(maps.view(len(x), -1)[:, :4])
        return self.out(torch.as_strided(maps, (len(x), 4), (maps[0].numel(), 1)))


@pytest.mark.parametrize(
    ("least", "training", "sizes"),
    [
        (3, True, BatchSizes((3,))),
        (7, True, BatchSizes((3, 8))),
        (100, True, BatchSizes((1, 100))),
        (100, False, BatchSizes((), (100,))),
        (70, False, BatchSizes((8,), (70, 1000))),
    ],
    ids=["smallest", "largest", "large", "evaluation", "last of an evaluation"],
)
@pytest.mark.parametrize("branch", ["view", "as_strided"])
def test_a_model_that_branches_on_the_batch_size_stays_as_it_is(
    branch: str, least: int, training: bool, sizes: BatchSizes
) -> None:
    torch.manual_seed(2)
    model = Branches(branch, least, training)
    before = [weight.clone() for weight in model.parameters()]
    assert quickened(model, torch.Size(SHAPE), True, sizes) is model
    assert not is_reordered(model)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))


def test_a_model_that_takes_any_batch_is_quickened_whatever_the_sizes() -> None:
    model = Branches("view", 10_000, True)
    sizes = BatchSizes((1, 3, 33, 64), (500, 1000))
    assert is_reordered(quickened(model, torch.Size(SHAPE), True, sizes))


def test_a_trainer_is_told_which_batches_it_will_get() -> None:
    draws = torch.Generator().manual_seed(3)
    sample = torch.randn(6, *SHAPE, generator=draws), torch.tensor([0, 1, 2, 0, 1, 2])
    told = trainer(Branches("view", 3, True), sample, sizes=BatchSizes((6,)), batch_size=6)
    assert told.train(0, 0, 1, told.initial, told.initial, 1.0).delta.any()
