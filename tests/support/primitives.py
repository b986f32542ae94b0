"""A digest for each primitive of portable arithmetic, so that a machine that differs says where.

python tests/support/primitives.py [PART ...]   prints them, as JSON; only names with a PART
python tests/support/primitives.py --write      writes the table that tests hold
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from places import TESTS
from torch import Tensor, nn

from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.portable import elementary
from afl_sim.portable.blas import product
from afl_sim.portable.mode import portable_arithmetic

FILE = TESTS / "golden" / "primitives.json"

Results = Iterable[Tensor]
PRODUCTS = (
    (1, 70, 50), (7, 1, 3), (3, 7, 1), (10, 784, 10), (32, 784, 200), (33, 320, 50), (8, 1024, 32),
    (512, 300, 70), (20, 250, 256), (64, 800, 513), (129, 17, 1031),
)  # fmt: skip
# channels, filters, kernel, side, options
CONVOLUTIONS = (
    (1, 10, 5, 28, {}),
    (10, 20, 5, 12, {}),
    (1, 32, 5, 28, {"padding": 2}),
    (32, 64, 5, 14, {"padding": 2}),
    (3, 16, 3, 16, {"padding": 1, "stride": 2}),
    (16, 32, 1, 8, {}),
    (8, 8, 3, 9, {"groups": 8}),
    (8, 12, 3, 11, {"groups": 4, "dilation": 2}),
)
FUNCTIONS = (
    "exp", "expm1", "log1p", "erf", "tanh", "sigmoid", "sin", "cos", "relu", "square", "neg",
)  # fmt: skip
OF_POSITIVE = ("log", "sqrt", "rsqrt", "reciprocal", "log2")
ACTIVATIONS = (
    "gelu", "silu", "mish", "elu", "selu", "softplus", "leaky_relu", "hardswish", "hardsigmoid",
    "logsigmoid", "softshrink", "celu",
)  # fmt: skip
OPTIONS = {
    "SGD": ({"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, {"dampening": 0.1}),
    "Adam": ({"amsgrad": True, "weight_decay": 0.01},),
    "RMSprop": ({"centered": True, "momentum": 0.9},),
}


def values(*shape: int, scale: float = 1.0) -> Tensor:
    """Numbers from -scale to scale in a fixed irregular order; the same bits everywhere."""
    count = torch.Size(shape).numel()
    mixed = (torch.arange(1, count + 1) * 2_654_435_761) % 2**32
    return ((mixed.double() / 2**31) - 1).mul(scale).float().reshape(shape)


def with_gradients(function: Callable[..., Tensor], *inputs: Tensor) -> Results:
    """The function's value and its gradients for the inputs."""
    leaves = [given.clone().requires_grad_() for given in inputs]
    out = function(*leaves)
    yield out
    yield from torch.autograd.grad(out, leaves, values(*out.shape))


def primitives() -> Iterator[tuple[str, Callable[[], Results]]]:
    """Names, and what computes them."""
    yield from _products()
    yield from _functions()
    yield from _layers()
    yield from _reductions()
    yield from _steps()
    yield from _draws()


def _products() -> Iterator[tuple[str, Callable[[], Results]]]:
    for m, k, n in PRODUCTS:
        yield f"product {m}x{k}x{n}", lambda m=m, k=k, n=n: _product_in_all_orders(m, k, n)
    yield "product in float64", lambda: [values(30, 70).double() @ values(70, 20).double()]
    yield (
        "batched product",
        lambda: with_gradients(torch.bmm, values(4, 20, 250), values(4, 250, 64)),
    )
    yield "matrix by vector", lambda: with_gradients(torch.mv, values(50, 70), values(70))
    yield "dot", lambda: with_gradients(torch.dot, values(4099), values(4099))
    yield "linear", lambda: with_gradients(F.linear, values(32, 320), values(50, 320), values(50))
    for channels, filters, kernel, side, options in CONVOLUTIONS:
        shown = "".join(f" {key} {value}" for key, value in options.items())
        weight = values(filters, channels // options.get("groups", 1), kernel, kernel)
        given = values(4, channels, side, side), weight, values(filters)
        yield (
            f"convolution {channels}-{filters} {kernel}x{kernel} on {side}{shown}",
            lambda o=options, g=given: with_gradients(lambda *a: F.conv2d(*a, **o), *g),
        )
    yield "transposed convolution", lambda: with_gradients(
        lambda *a: F.conv_transpose2d(*a, stride=2, padding=1),
        values(4, 8, 7, 7), values(8, 6, 3, 3), values(6),
    )  # fmt: skip
    yield (
        "attention",
        lambda: with_gradients(F.scaled_dot_product_attention, *[values(2, 4, 8, 16)] * 3),
    )


def _product_in_all_orders(m: int, k: int, n: int) -> Results:
    a, b = values(m, k).numpy(), values(k, n).numpy()
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            yield torch.from_numpy(product(left, right))


def _functions() -> Iterator[tuple[str, Callable[[], Results]]]:
    wide = torch.cat([values(4099, scale=s) for s in (1e-6, 0.1, 4.0, 80.0)])
    for name in FUNCTIONS:
        yield name, lambda name=name: with_gradients(getattr(torch, name), wide)
    for name in OF_POSITIVE:
        yield name, lambda name=name: with_gradients(getattr(torch, name), wide.abs() + 1e-6)
    for name in ACTIVATIONS:
        yield name, lambda name=name: with_gradients(getattr(F, name), wide)
    yield "pow", lambda: with_gradients(lambda x: x.pow(0.37), wide.abs() + 1e-6)
    yield "exp in float64", lambda: [wide.double().exp()]
    yield "log in float64", lambda: [wide.double().abs().log()]
    x, y, z = values(1031), values(1031, scale=3.0), values(1031).flip(0)
    yield "sum with a factor", lambda: [x.add(y, alpha=-0.05), x.sub(y, alpha=0.3), 1.3 * x + y]
    yield "lerp", lambda: [x.lerp(y, 0.3), x.lerp(y, 0.7), x.lerp(y, z.abs())]
    yield "addcmul", lambda: [x.addcmul(y, z, value=0.3)]
    yield "addcdiv", lambda: [x.addcdiv(y, z.abs() + 1e-3, value=0.3)]
    yield "quotient", lambda: [x / (z.abs() + 1e-3), x / 3.7, 1 / (y + 5), x % 0.3]


def _layers() -> Iterator[tuple[str, Callable[[], Results]]]:
    logits, classes = values(33, 70, scale=5.0), torch.arange(33) % 7
    yield "softmax", lambda: with_gradients(lambda x: x.softmax(1), logits)
    yield (
        "log_softmax",
        lambda: [
            *with_gradients(lambda x: x.log_softmax(1), logits),
            torch.from_numpy(elementary.log_softmax(logits[:10, :10].numpy())),
        ],
    )
    yield (
        "cross-entropy",
        lambda: with_gradients(lambda x: F.cross_entropy(x, classes, label_smoothing=0.1), logits),
    )
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss"):
        yield (
            name,
            lambda name=name: with_gradients(lambda x: getattr(F, name)(x, logits.flip(0)), logits),
        )
    yield (
        "binary cross-entropy",
        lambda: with_gradients(
            lambda x: F.binary_cross_entropy_with_logits(x, (logits > 1).float()), logits
        ),
    )
    maps = values(6, 8, 9, 9)
    for name, layer in {
        "max-pooling": nn.MaxPool2d(2),
        "overlapping max-pooling": nn.MaxPool2d(3, 2, 1),
        "mean pooling": nn.AvgPool2d(2),
        "adaptive pooling": nn.AdaptiveAvgPool2d(4),
        "global pooling": nn.AdaptiveAvgPool2d(1),
        "batch normalisation": nn.BatchNorm2d(8),
        "batch normalisation in evaluation": nn.BatchNorm2d(8).eval(),
        "group normalisation": nn.GroupNorm(4, 8),
        "layer normalisation": nn.LayerNorm([9, 9]),
        "instance normalisation": nn.InstanceNorm2d(8),
        "padding": nn.ReflectionPad2d(2),
    }.items():
        yield name, lambda layer=layer: [*with_gradients(layer, maps), *layer.buffers()]
    yield (
        "embedding",
        lambda: with_gradients(lambda w: F.embedding(torch.arange(40) % 9, w), values(9, 5)),
    )
    for layer in (nn.GRU(6, 5), nn.LSTM(6, 5)):
        yield type(layer).__name__, lambda layer=layer: _recurrent(layer)


def _recurrent(layer: nn.Module) -> Results:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(values(*parameter.shape))
    yield from with_gradients(lambda x: layer(x)[0], values(7, 3, 6))


def _reductions() -> Iterator[tuple[str, Callable[[], Results]]]:
    x = values(33, 5, 70, scale=3.0)
    for name in ("sum", "mean", "var", "std", "norm"):
        yield (
            name,
            lambda name=name: [
                getattr(x, name)(),
                *(getattr(x, name)(dim=dim) for dim in (0, 1, 2, (0, 2), (0, 1))),
            ],
        )
    yield "logsumexp", lambda: [x.logsumexp(1), x.logsumexp((0, 2))]
    yield "cumsum", lambda: [x.cumsum(0), x.cumsum(2), x[:5].cumprod(1)]
    yield "sum in float64", lambda: [x.double().sum(), x.double().sum(0)]
    yield "clipped gradients", lambda: _clipped(x)


def _clipped(x: Tensor) -> Results:
    parameter = nn.Parameter(x.clone())
    parameter.grad = x.flip(0)
    yield nn.utils.clip_grad_norm_([parameter], 1.0)
    yield parameter.grad


def _steps() -> Iterator[tuple[str, Callable[[], Results]]]:
    for kind in OPTIMIZERS:
        for options in ({}, *OPTIONS.get(kind, ())):
            shown = "".join(f" {key} {value}" for key, value in options.items())
            if "dampening" in options:
                options = {**options, "momentum": 0.9}
            spec = OPTIMIZERS[kind].model_validate({"kind": kind, "lr": 0.01, **options})
            yield f"step of {kind}{shown}", lambda spec=spec: _five_steps(spec.build)


def _five_steps(build: Callable[..., torch.optim.Optimizer]) -> Results:
    parameter = nn.Parameter(values(40, 30))
    optimizer = build([parameter])
    for step in range(5):
        parameter.grad = values(40, 30).roll(step + 1, 0)
        optimizer.step()
    yield parameter


def _draws() -> Iterator[tuple[str, Callable[[], Results]]]:
    def seeded(draw: Callable[[], Tensor]) -> Callable[[], Results]:
        def drawn() -> Results:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(3)
                yield draw()

        return drawn

    yield "uniform draws", seeded(lambda: torch.empty(1001).uniform_(-0.07, 0.07))
    yield "normal draws", seeded(lambda: torch.randn(1001))
    yield "permutation", seeded(lambda: torch.randperm(1001))
    yield "dropout", seeded(lambda: F.dropout(torch.ones(1001), 0.3))
    yield "initial weights", seeded(lambda: nn.Linear(50, 20).weight)


def digests(*parts: str) -> dict[str, str]:
    """Eight hex digits for each primitive whose name has one of the parts; all if there is none."""
    found = {}
    with portable_arithmetic():
        for name, compute in primitives():
            if parts and not any(part in name for part in parts):
                continue
            hasher = hashlib.sha256()
            for result in compute():
                hasher.update(result.detach().contiguous().numpy().tobytes())
            found[name] = hasher.hexdigest()[:8]
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(json.dumps(digests(), indent=1) + "\n")
    else:
        print(json.dumps(digests(*sys.argv[1:]), indent=1))
