"""Models as people write them: some keep too much, some fail late, and some are all right."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 10


class Plain(nn.Module):
    """Logistic regression on MNIST's images."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(784, CLASSES)

    def forward(self, x: Tensor) -> Any:
        return self.out(x.flatten(1))


# -- those that keep something from call to call ---------------------------------------------------


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(28, 6, batch_first=True)
        self.out = nn.Linear(6, CLASSES)
        self.h: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        outputs, h = self.rnn(x[:, 0], self.h)
        self.h = h[0].detach(), h[1].detach()
        return self.out(outputs[:, -1])


def nested() -> nn.Module:
    return nn.Sequential(Recurrent(), nn.Identity())


class Anneals(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        return super().forward(x) * (1 + 1 / (1 + self.steps))


class FitsToTheFirstImages(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.mean is None:
            self.mean = x.mean()
        return super().forward(x - self.mean)


class TestsWithWhatTrainingSaw(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.mean = 0.0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + float(x.mean())
            return super().forward(x)
        return super().forward(x - self.mean)


class DrawsByNumpy(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * np.random.rand()  # noqa: NPY002


class DrawsByPython(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * random.random()


class DrawsByItself(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.draws = torch.Generator().manual_seed(3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.randn(x.shape, generator=self.draws))


CALLS: list[int] = []


class Global(Plain):
    def forward(self, x: Tensor) -> Tensor:
        CALLS.append(1)
        return super().forward(x) * len(CALLS)


# -- those that fail late --------------------------------------------------------------------------


class TupleInTraining(Plain):
    def forward(self, x: Tensor) -> Any:
        outputs = super().forward(x)
        return (outputs, outputs) if self.training else outputs


class NormalisesBatches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(784, 4)
        self.norm = nn.BatchNorm1d(4)
        self.out = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.hidden(x.flatten(1))))


class NormalisesChannels(nn.Module):
    """Each channel is a group of its own, and its map is one number."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(1, 4, 28)
        self.norm = nn.GroupNorm(4, 4)
        self.out = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.maps(x)).flatten(1))


class Pairs(Plain):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x.unflatten(0, (-1, 2)).flatten(0, 1)
        return super().forward(x)


class Sparse(nn.Module):
    """Looks up each grey value; its images have to be whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Embedding(256, CLASSES, sparse=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.values(x.flatten(1)[:, 200:250].long()).mean(1)


class Expanded(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(1).expand(CLASSES))


class MakesALayer(Plain):
    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Linear(CLASSES, CLASSES)
        return self.late(super().forward(x))


class MakesABuffer(Plain):
    def forward(self, x: Tensor) -> Tensor:
        self.register_buffer("seen", x.mean(0))
        return super().forward(x)


class Detached(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


THE_ONE = Plain()


def always_the_same() -> nn.Module:
    return THE_ONE


def never_the_same() -> nn.Module:
    model = Plain()
    model.register_buffer("drawn", torch.tensor(np.random.default_rng().random()))
    return model


class Complex(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("phase", torch.zeros(2, dtype=torch.complex128))


# -- those that are all right ----------------------------------------------------------------------


class Counts(Plain):
    """Keeps what changes no output."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.table: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        width = x.shape[-1]
        if width not in self.table:
            self.table[width] = torch.arange(width) / width
        return super().forward(x + self.table[width])


class Taps(Plain):
    """A hook and the model hold one list."""

    def __init__(self) -> None:
        super().__init__()
        self.taps: list[Tensor] = []
        self.out.register_forward_hook(lambda *seen, taps=self.taps: taps.append(seen[2]))

    def forward(self, x: Tensor) -> Tensor:
        self.taps.clear()
        outputs = super().forward(x)
        return outputs + self.taps[0]


class InPlace(Plain):
    """Changes the images that it is given."""

    def __init__(self, written: bool = True) -> None:
        super().__init__()
        self.written = written

    def forward(self, x: Tensor) -> Tensor:
        x = x.mul_(0.5).add_(1) if self.written else x * 0.5 + 1
        return super().forward(x)


class Odd(nn.Module):
    """Everything that a state dict may have: of all types, tied, used twice, frozen, not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(784, CLASSES, bias=False)
        self.norm = nn.BatchNorm1d(CLASSES)
        self.square = nn.Linear(CLASSES, CLASSES)
        self.again = self.square
        self.tied = nn.Linear(CLASSES, CLASSES)
        self.tied.weight = self.square.weight
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.frozen = nn.Linear(CLASSES, CLASSES).requires_grad_(False)
        self.register_buffer("mask", torch.arange(CLASSES) >= 0)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("wide", torch.full((2,), 0.5, dtype=torch.float64))
        self.register_buffer("short", torch.full((2,), 0.5, dtype=torch.bfloat16))
        self.register_buffer("cache", torch.ones(1000), persistent=False)
        self.register_buffer("never", None)

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        self.cache += 1
        x = self.norm(self.first(x.flatten(1)))
        x = self.tied(self.again(self.square(torch.tanh(x)))) * self.scale
        return F.relu(self.frozen(x)) * self.mask + self.wide.sum().float() + self.short.sum()


# -- those whose bits are not portable -------------------------------------------------------------


class Spectral(nn.Module):
    """Keeps the lengths of a Fourier transform's numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x.flatten(1)).real


class SpectralGradient(torch.autograd.Function):
    """The identity, with a gradient that takes a Fourier transform."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return torch.fft.fft(gradient).real


class Backwards(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return SpectralGradient.apply(x)


def spectral() -> nn.Module:
    return nn.Sequential(Spectral(), nn.Linear(784, CLASSES))


def spectral_backwards() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, CLASSES), Backwards())


def spectral_at_birth() -> nn.Module:
    model = Plain()
    with torch.no_grad():
        model.out.weight.copy_(torch.fft.fft(model.out.weight).real)
    return model


# -- those whose parameters or buffers are of unusual kinds ----------------------------------------


def _between(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), layer, nn.Linear(8, CLASSES))


def weight_norm() -> nn.Module:
    return _between(nn.utils.parametrizations.weight_norm(nn.Linear(784, 8)))


def spectral_norm() -> nn.Module:
    return _between(nn.utils.parametrizations.spectral_norm(nn.Linear(784, 8)))


def old_weight_norm() -> nn.Module:
    return _between(nn.utils.weight_norm(nn.Linear(784, 8)))


def old_spectral_norm() -> nn.Module:
    return _between(nn.utils.spectral_norm(nn.Linear(784, 8)))


def two_layers_of_lstm() -> nn.Module:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(28, 8, 2, batch_first=True)
            self.out = nn.Linear(8, CLASSES)

        def forward(self, x: Tensor) -> Any:
            return self.out(self.lstm(x[:, 0])[0][:, -1])

    return Rows()


class ScaledBy(Plain):
    """Multiplies by a tensor of any kind."""

    def __init__(self, scale: Tensor, trained: bool, parameter: bool = True) -> None:
        super().__init__()
        self.scale: Tensor
        if parameter:
            self.scale = nn.Parameter(scale, requires_grad=trained)
        else:
            self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Any:
        return (super().forward(x) * self.scale.to_dense()).real


def complex_buffer() -> nn.Module:
    return ScaledBy(torch.ones(CLASSES, dtype=torch.complex64), False, parameter=False)


def complex_parameter() -> nn.Module:
    return ScaledBy(torch.ones(CLASSES, dtype=torch.complex64), True)


def whole_parameter() -> nn.Module:
    return ScaledBy(torch.arange(CLASSES), False)


def half_parameter() -> nn.Module:
    return ScaledBy(torch.ones(CLASSES).half(), True)


def sparse_parameter() -> nn.Module:
    return ScaledBy(torch.eye(CLASSES).to_sparse(), True)


def sparse_buffer() -> nn.Module:
    return ScaledBy(torch.eye(CLASSES).to_sparse(), False, parameter=False)


def not_finite() -> nn.Module:
    return ScaledBy(torch.full((CLASSES,), torch.nan), True)


def without_values() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, CLASSES, device="meta"))


def lazy_buffer() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyBatchNorm1d(affine=False), nn.Linear(784, CLASSES))


def overlapping() -> nn.Module:
    model = Plain()
    model.part = nn.Parameter(model.out.weight.data[2:5])
    return model


def buffer_on_a_parameter() -> nn.Module:
    model = Plain()
    model.register_buffer("copy", model.out.weight.data)
    return model


def side_by_side() -> nn.Module:
    """Two parameters in one block of memory, with nothing in common."""
    model, both = Plain(), torch.zeros(CLASSES, 2)
    model.left, model.right = nn.Parameter(both[:, 0]), nn.Parameter(both[:, 1])
    return model
