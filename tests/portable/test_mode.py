"""The block of portable arithmetic: training in it, and what it refuses."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from primitives import values
from torch import Tensor, nn

from afl_sim.execution.numerics import deterministic
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.portable.mode import NotPortable, portable_arithmetic
from afl_sim.portable.processor import shortfall

pytestmark = pytest.mark.skipif(shortfall() is not None, reason=str(shortfall()))


class Residual(nn.Module):
    """Two convolutions with normalisation, beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.norm, self.other = nn.BatchNorm2d(channels), nn.GroupNorm(2, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.other(self.second(F.relu(self.norm(self.first(x))))))


def _residual_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2), Residual(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )


def _perceptron() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(196, 20), nn.LayerNorm(20), nn.GELU(), nn.Dropout(0.2),
        nn.Linear(20, 10),
    )  # fmt: skip


def _trained(make: Callable[[], nn.Module], steps: int = 4) -> Tensor:
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    images, labels = values(16, 1, 14, 14), torch.arange(16) % 10
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return torch.cat(
        [tensor.detach().reshape(-1).float() for tensor in model.state_dict().values()]
    )


@pytest.mark.parametrize("make", [_residual_network, _perceptron])
def test_a_model_learns_as_it_does_in_native_arithmetic(make: Callable[[], nn.Module]) -> None:
    with deterministic():
        native = _trained(make)
        with portable_arithmetic():
            portable = _trained(make)
    # Weights are drawn from other roundings of the same numbers.
    torch.testing.assert_close(portable, native, rtol=1e-4, atol=1e-4)


def test_bits_are_those_of_every_other_time_thread_and_setting() -> None:
    found = []

    def train() -> None:
        with deterministic(), portable_arithmetic(), portable_arithmetic():
            found.append(hashlib.sha256(_trained(_residual_network).numpy().tobytes()).hexdigest())

    train()
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    torch.backends.mkldnn.set_flags(False)
    try:
        train()
    finally:
        torch.backends.mkldnn.set_flags(True)
    assert len(found) == 3
    assert len(set(found)) == 1


def _options(kind: str) -> list[dict[str, Any]]:
    """The defaults, and each option that changes the formula."""
    found: list[dict[str, Any]] = [{}]
    for name, field in OPTIMIZERS[kind].model_fields.items():
        if isinstance(field.default, bool):
            found.append({name: not field.default} | ({"momentum": 0.9} if kind == "SGD" else {}))
        elif name in {"weight_decay", "momentum", "lr_decay"}:
            found.append({name: 0.1})
    return found


def _stepped(build: Callable[..., torch.optim.Optimizer], **options: Any) -> Tensor:
    parameters = [nn.Parameter(values(4, 3)), nn.Parameter(values(5))]
    optimizer = build(parameters, **options)
    for step in range(5):
        for parameter in parameters:
            parameter.grad = values(*parameter.shape, scale=3.0).roll(step + 1, 0)
        optimizer.step()
    return torch.cat([parameter.detach().reshape(-1) for parameter in parameters])


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer_steps_as_it_does_in_native_arithmetic(kind: str) -> None:
    for options in _options(kind):
        spec = OPTIMIZERS[kind].model_validate({"kind": kind, "lr": 0.01, **options})
        native = _stepped(spec.build)
        with portable_arithmetic():
            portable = _stepped(spec.build)
        torch.testing.assert_close(portable, native, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    "kind",
    [name for name in OPTIMIZERS if name != "Adafactor" and not name.startswith("Fed")],
)
def test_steps_on_lists_of_tensors_have_the_bits_of_single_steps(kind: str) -> None:
    build = getattr(torch.optim, kind)
    with portable_arithmetic():
        together, single = (_stepped(build, lr=0.01, foreach=way) for way in (True, False))
    torch.testing.assert_close(together, single, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_fused_layers_of_evaluation_agree_with_those_of_training(
    norm_first: bool, activation: str
) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(
        8, 2, 12, 0.0, activation, norm_first=norm_first, batch_first=True
    )
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x, other = values(2, 5, 8), values(2, 6, 8).flip(1)
    with portable_arithmetic():
        expected = layer(x), *attention(x, other, other), *attention(x, x, x)
        layer.eval(), attention.eval()
        with torch.no_grad():
            found = layer(x), *attention(x, other, other), *attention(x, x, x)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_a_refused_operation_leaves_no_block() -> None:
    with pytest.raises(NotPortable), portable_arithmetic():
        torch.fft.fft(values(4))
    torch.fft.fft(values(4))


def test_torchvision_can_be_imported_in_a_block() -> None:
    import torchvision

    assert torchvision
    with portable_arithmetic():
        torch.ops.torchvision._cuda_version()  # what its import asks for
        with pytest.raises(NotPortable, match="nms"):
            torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
