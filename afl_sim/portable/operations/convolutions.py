"""Convolutions of any number of dimensions, as matrix products of kernels with patches.

The patches of a few samples at a time are copied into a matrix with a row for each place of the
kernel and each input channel, and a column for each output place. How many samples these are
depends on the sizes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product as places
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from afl_sim.portable.blas import prepared, product
from afl_sim.portable.operations.arrays import Array, array
from afl_sim.portable.operations.reductions import summed
from afl_sim.portable.operations.registry import replaces

_NUMBERS = 2**19  # of the patches that are held at a time


@dataclass(frozen=True)
class _Plan:
    """Sizes of a convolution; tuples have an entry for each dimension of the maps."""

    sides: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def out(self) -> tuple[int, ...]:
        return tuple(
            (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for side, kernel, stride, pad, dilation in zip(
                self.sides, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )

    def chunks(self, samples: int, channels: int) -> Iterator[slice]:
        """Samples whose patches are held together."""
        each = prod(self.kernel) * channels * max(1, prod(self.out))
        size = max(1, _NUMBERS // each)
        return (slice(start, start + size) for start in range(0, samples, size))

    def padded(self, samples: int, channels: int, dtype: np.dtype[np.generic]) -> Array:
        """Maps of zeros with their margins."""
        sides = (s + 2 * p for s, p in zip(self.sides, self.padding, strict=True))
        return np.zeros((samples, channels, *sides), dtype)

    def inner(self, maps: Array) -> Array:
        """Maps without their margins."""
        within = tuple(slice(p, p + s) for s, p in zip(self.sides, self.padding, strict=True))
        return _at(maps, ..., *within)

    def seen(self, maps: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
        """What each place of the kernel sees of padded maps: (samples, channels, *out)."""
        for place in places(*(range(side) for side in self.kernel)):
            window = tuple(
                slice(at * d, at * d + (o - 1) * s + 1, s)
                for at, o, s, d in zip(place, self.out, self.stride, self.dilation, strict=True)
            )
            yield place, _at(maps, ..., *window)

    def patches(self, maps: Array) -> Array:
        """Shape (channels, *kernel, samples, *out)."""
        samples, channels = maps.shape[:2]
        if any(self.padding):
            with_margins = self.padded(samples, channels, maps.dtype)
            self.inner(with_margins)[...] = maps
            maps = with_margins
        result = np.empty((channels, *self.kernel, samples, *self.out), maps.dtype)
        for place, window in self.seen(maps):
            _at(result, slice(None), *place)[...] = window.swapaxes(0, 1)
        return result


def forward(maps: Array, weight: Array, plan: _Plan) -> Array:
    """Maps (N, C, *sides) and kernels (O, C / groups, *kernel) to (N, O, *out)."""
    samples, channels = maps.shape[:2]
    filters = len(weight)
    kernels = weight.reshape(plan.groups, filters // plan.groups, -1)
    result = np.empty((samples, filters, *plan.out), maps.dtype)
    for chunk in plan.chunks(samples, channels):
        patches = plan.patches(maps[chunk])
        size = patches.shape[-1 - len(plan.out)]
        columns = patches.reshape(plan.groups, kernels.shape[2], -1)
        found = np.empty((*kernels.shape[:2], columns.shape[2]), maps.dtype)
        for kernel, seen, into in zip(kernels, columns, found, strict=True):
            product(kernel, seen, into)
        result[chunk] = found.reshape(filters, size, *plan.out).swapaxes(0, 1)
    return result


def to_maps(grad: Array, weight: Array, plan: _Plan) -> Array:
    """The gradient for the maps, from that of the result (N, O, *out)."""
    samples, filters = grad.shape[:2]
    kernels = weight.reshape(plan.groups, filters // plan.groups, -1)
    channels = weight.shape[1] * plan.groups
    result = np.empty((samples, channels, *plan.sides), grad.dtype)
    for chunk in plan.chunks(samples, channels):
        rows = _rows(grad[chunk], plan.groups)
        patches = np.empty((plan.groups, kernels.shape[2], rows.shape[2]), grad.dtype)
        for kernel, row, into in zip(kernels, rows, patches, strict=True):
            product(kernel.T, row, into)
        size = len(grad[chunk])
        shaped = patches.reshape(channels, *plan.kernel, size, *plan.out)
        maps = plan.padded(size, channels, grad.dtype)
        for place, window in plan.seen(maps):
            window += _at(shaped, slice(None), *place).swapaxes(0, 1)
        result[chunk] = plan.inner(maps)
    return result


def to_weight(grad: Array, maps: Array, shape: Sequence[int], plan: _Plan) -> Array:
    """The gradient for the kernels, of a shape (O, C / groups, *kernel)."""
    samples, channels = maps.shape[:2]
    result = np.zeros((plan.groups, shape[0] // plan.groups, prod(shape[1:])), grad.dtype)
    for chunk in plan.chunks(samples, channels):
        columns = plan.patches(maps[chunk]).reshape(plan.groups, result.shape[2], -1)
        for row, seen, into in zip(_rows(grad[chunk], plan.groups), columns, result, strict=True):
            prepared(row, seen.T, into, beta=1.0)()
    return result.reshape(shape)


def _rows(grad: Array, groups: int) -> Array:
    """(N, O, *out) as (groups, O / groups, N * places)."""
    filters = grad.shape[1]
    return np.ascontiguousarray(grad.swapaxes(0, 1)).reshape(groups, filters // groups, -1)


def _at(values: Array, *index: Any) -> Array:
    found: Array = values[index]
    return found


def _wide(values: Sequence[int], count: int) -> tuple[int, ...]:
    return tuple(values) if len(values) == count else tuple(values) * count


def _plan(
    sides: Sequence[int], weight: Tensor, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], groups: int,
) -> _Plan:  # fmt: skip
    kernel = tuple(weight.shape[2:])
    count = len(kernel)
    wide = (_wide(stride, count), _wide(padding, count), _wide(dilation, count))
    return _Plan(tuple(sides), kernel, *wide, groups)


def _upsampled(
    sides: Sequence[int], plan_of: _Plan, output_padding: Sequence[int]
) -> tuple[int, ...]:
    """Sides of the result of a transposed convolution of maps with these sides."""
    extra = _wide(output_padding, len(plan_of.kernel))
    return tuple(
        (side - 1) * s - 2 * p + d * (k - 1) + e + 1
        for side, s, p, d, k, e in zip(
            sides, plan_of.stride, plan_of.padding, plan_of.dilation, plan_of.kernel, extra,
            strict=True,
        )
    )  # fmt: skip


@replaces("convolution", "_convolution", "convolution_overrideable")
def convolution(
    maps: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int],
    padding: Sequence[int], dilation: Sequence[int], transposed: bool,
    output_padding: Sequence[int], groups: int, *_: object,
) -> Tensor:  # fmt: skip
    plan = _plan(maps.shape[2:], weight, stride, padding, dilation, groups)
    if transposed:
        sides = _upsampled(plan.sides, plan, output_padding)
        plan = _plan(sides, weight, stride, padding, dilation, groups)
        result = to_maps(array(maps), array(weight), plan)
    else:
        result = forward(array(maps), array(weight), plan)
    if bias is not None:
        result += array(bias).reshape(-1, *[1] * len(plan.kernel))
    return torch.from_numpy(result)


@replaces("convolution_backward", "convolution_backward_overrideable")
def convolution_backward(
    grad: Tensor, maps: Tensor, weight: Tensor, bias_sizes: Sequence[int] | None,
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], transposed: bool,
    output_padding: Sequence[int], groups: int, wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:  # fmt: skip
    g, x, w = array(grad), array(maps), array(weight)
    sides = grad.shape[2:] if transposed else maps.shape[2:]
    plan = _plan(sides, weight, stride, padding, dilation, groups)
    found: list[Array | None] = [None, None]
    if wanted[0]:
        found[0] = forward(g, w, plan) if transposed else to_maps(g, w, plan)
    if wanted[1]:
        pair = (x, g) if transposed else (g, x)
        found[1] = to_weight(*pair, weight.shape, plan)
    others = [0, *range(2, grad.dim())]
    bias = summed(grad, others) if wanted[2] else None
    return (*(None if a is None else torch.from_numpy(a) for a in found), bias)
