"""A digest of the bits that this machine computes, over small cases of what training consists of.

Libraries choose their kernels by the processor's vendor, its instructions and the sizes of its
caches, and they do not report their choice. The digest shows it, whatever it was.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from afl_sim.learning.chain.recognition import chain_of
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.families.convolutional import LeNet
from afl_sim.portable.block import arithmetic_of

# A layer has rows, inputs, outputs; a convolution has channels, filters, kernel, side, groups.
_LAYERS = ((32, 784, 10), (10, 784, 64), (33, 320, 50), (8, 1024, 32), (64, 70, 100), (1, 70, 50))
_CONVOLUTIONS = ((1, 10, 5, 16, 1), (10, 20, 5, 12, 1), (3, 16, 3, 12, 1), (8, 16, 1, 8, 1))
_GROUPED = ((8, 8, 3, 8, 4),)  # batched training has such convolutions


@cache
def arithmetic_digest(mode: str, precision: str) -> str:
    """Sixteen hex digits that are the same on machines whose kernels round in the same way.

    They are computed once in a process, in about 30 ms. The caller must be in a block of
    `deterministic`.

    Args:
        mode, precision: as in `Numerics`; ``batched`` and ``bf16`` use kernels of their own.
    """
    return _digest(_results(mode, precision))


@cache
def portable_digest() -> str:
    """Sixteen hex digits that are the same on every machine that has portable arithmetic.

    They are computed once in a process. The caller must be in a block of `deterministic`.
    """
    with arithmetic_of(portable=True):
        return _digest(_portable_results())


def _digest(results: Iterable[Tensor]) -> str:
    hasher = hashlib.sha256()
    for result in results:
        hasher.update(result.detach().float().contiguous().numpy().tobytes())
    return hasher.hexdigest()[:16]


def _results(mode: str, precision: str) -> Iterator[Tensor]:
    convolutions = _CONVOLUTIONS + (_GROUPED if mode == "batched" else ())
    yield from _elementwise()
    yield from _products()
    yield from _convolved(convolutions)
    if precision == "bf16":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            yield from _products()
            yield from _convolved(convolutions)


def _portable_results() -> Iterator[Tensor]:
    x = 4 * _values(1031)
    positive = x.abs() + 0.1
    yield from (x.exp(), x.tanh(), x.sigmoid(), positive.log(), positive.sqrt(), x.sum(), x.mean())
    yield from _cross_entropy(4 * _values(16, 70))
    yield from _products()
    yield from _convolved(_CONVOLUTIONS)
    yield _chained()


def _chained() -> Tensor:
    """The weights of a small network after two steps."""
    shape, samples = (1, 16, 18), 9
    with torch.device("meta"):  # draws nothing
        model = LeNet().build(SampleForm(shape, 4))
    chain = chain_of(model, shape, "cross_entropy")
    assert chain is not None
    chain.load(_values(len(chain.weights)).mul(0.1).numpy())
    images = _values(samples, math.prod(shape)).numpy()
    for _ in range(2):
        chain.descend(images, np.arange(samples) % 4, np.arange(samples), 0.1)
    return torch.from_numpy(chain.weights)


def _elementwise() -> Iterator[Tensor]:
    x = 4 * _values(1031)
    positive = x.abs() + 0.1
    yield from (x.exp(), x.tanh(), x.sigmoid(), x.erf(), F.gelu(x), positive.log(), positive.sqrt())
    yield from (x.sum(), x.mean(), x.norm(), x.var(), x.cumsum(0))
    rows = 4 * _values(16, 70)
    yield from (rows.softmax(1), rows.sum(0), F.layer_norm(rows, (70,)))
    yield from _cross_entropy(rows)


def _cross_entropy(rows: Tensor) -> Iterator[Tensor]:
    logits = rows.clone().requires_grad_()
    loss = F.cross_entropy(logits, torch.arange(len(rows)))
    yield from (loss, *torch.autograd.grad(loss, logits))


def _products() -> Iterator[Tensor]:
    for m, k, n in _LAYERS:
        x, weight, bias = (_values(*shape).requires_grad_() for shape in ((m, k), (n, k), (n,)))
        out = F.linear(x, weight, bias)
        yield from (out, *torch.autograd.grad(out.square().sum(), (x, weight, bias)))
    yield torch.bmm(_values(4, 20, 250), _values(4, 250, 64))
    yield _values(50, 70) @ _values(70)


def _convolved(shapes: Sequence[tuple[int, ...]]) -> Iterator[Tensor]:
    for channels, filters, kernel, side, groups in shapes:
        shape = (filters, channels // groups, kernel, kernel)
        for layout in (torch.contiguous_format, torch.channels_last):
            x = _values(2, channels, side, side).to(memory_format=layout).requires_grad_()
            weight, bias = _values(*shape).requires_grad_(), _values(filters).requires_grad_()
            out = F.conv2d(x, weight, bias, groups=groups)
            yield from (out, *torch.autograd.grad(out.square().sum(), (x, weight, bias)))


def _values(*shape: int) -> Tensor:
    """Numbers from -1 to 1 in a fixed irregular order; the same bits on every machine."""
    count = torch.Size(shape).numel()
    mixed = (torch.arange(1, count + 1) * 2_654_435_761) % 2**32
    return ((mixed.double() / 2**31) - 1).float().reshape(shape)


def cpu_capability() -> str:
    """The processor's instruction set, as PyTorch names it."""
    return str(torch.backends.cpu.get_cpu_capability())
