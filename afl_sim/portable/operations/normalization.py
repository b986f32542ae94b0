"""Batch, group and layer normalisation, computed in float64.

Each normalises numbers arranged as (rows, count): a row has one mean and one variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from afl_sim.portable.elementary import Double, ignoring_errors
from afl_sim.portable.operations.arrays import back, double
from afl_sim.portable.operations.reductions import sum64
from afl_sim.portable.operations.registry import replaces

Three = tuple[Tensor | None, Tensor | None, Tensor | None]


def _row_sums(x: Double) -> Double:
    return sum64(x, (1,), True)


def _statistics(rows: Double) -> tuple[Double, Double]:
    """The mean and the variance of each row, with a second axis of length 1."""
    with ignoring_errors():
        average = _row_sums(rows) / np.float64(rows.shape[1])
        centred = rows - average
        return average, _row_sums(centred * centred) / np.float64(rows.shape[1])


def _inverse_root(variance: Double, eps: float) -> Double:
    with ignoring_errors():
        return 1.0 / np.sqrt(variance + eps)


def _through(grad: Double, normal: Double, inverse: Double) -> Double:
    """The gradient for the rows, from that of the normalised rows."""
    with ignoring_errors():
        count = np.float64(grad.shape[1])
        common = _row_sums(grad) / count + normal * (_row_sums(grad * normal) / count)
        return inverse * (grad - common)


def _column(tensor: Tensor | None, otherwise: float) -> Double:
    return np.array([[otherwise]]) if tensor is None else double(tensor).reshape(-1, 1)


def _by_channel(x: Tensor) -> Double:
    """(N, C, ...) as (C, N * ...)."""
    moved = np.ascontiguousarray(double(x).swapaxes(0, 1))
    return moved.reshape(x.shape[1], -1)


def _from_channel(rows: Double, like: Tensor) -> Tensor:
    shape = (like.shape[1], like.shape[0], *like.shape[2:])
    return back(rows.reshape(shape).swapaxes(0, 1), like.dtype)


@replaces("native_batch_norm")
def batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
    running_var: Tensor | None, training: bool, momentum: float, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    rows = _by_channel(x)
    if training:
        average, variance = _statistics(rows)
        inverse = _inverse_root(variance, eps)
        count = rows.shape[1]
        unbiased = variance * (count / (count - 1)) if count > 1 else variance * np.nan
        for running, now in ((running_mean, average), (running_var, unbiased)):
            if running is not None:
                mixed = double(running) * (1 - momentum) + now[:, 0] * momentum
                running.copy_(back(mixed, running.dtype))
        kept = (back(average[:, 0], x.dtype), back(inverse[:, 0], x.dtype))
    else:
        average, inverse = _column(running_mean, 0.0), _inverse_root(_column(running_var, 1.0), eps)
        kept = (x.new_empty(0), x.new_empty(0))
    result = (rows - average) * inverse * _column(weight, 1.0) + _column(bias, 0.0)
    return _from_channel(result, x), *kept


@replaces("_native_batch_norm_legit")
def batch_norm_with_state(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor,
    running_var: Tensor, training: bool, momentum: float, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    state = running_mean, running_var
    return batch_norm(x, weight, bias, *state, training, momentum, eps)


@replaces("_native_batch_norm_legit.no_stats")
def batch_norm_without_state(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, training: bool, momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return batch_norm(x, weight, bias, None, None, training, momentum, eps)


@replaces("native_batch_norm_backward")
def batch_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor | None, running_mean: Tensor | None,
    running_var: Tensor | None, save_mean: Tensor | None, save_inverse: Tensor | None,
    training: bool, eps: float, wanted: Sequence[bool],
) -> Three:  # fmt: skip
    rows, g = _by_channel(x), _by_channel(grad)
    if training:
        average, variance = _statistics(rows)
    else:
        average, variance = _column(running_mean, 0.0), _column(running_var, 1.0)
    inverse = _inverse_root(variance, eps)
    normal = (rows - average) * inverse
    scaled = g * _column(weight, 1.0)
    result: list[Tensor | None] = [None, None, None]
    if wanted[0]:
        through = _through(scaled, normal, inverse) if training else scaled * inverse
        result[0] = _from_channel(through, x)
    if wanted[1]:
        result[1] = back(_row_sums(g * normal)[:, 0], x.dtype)
    if wanted[2]:
        result[2] = back(_row_sums(g)[:, 0], x.dtype)
    return result[0], result[1], result[2]


@replaces("native_layer_norm")
def layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    size = prod(shape)
    rows = double(x).reshape(-1, size)
    average, variance = _statistics(rows)
    inverse = _inverse_root(variance, eps)
    result = (rows - average) * inverse * _column(weight, 1.0).T + _column(bias, 0.0).T
    outer = (*x.shape[: x.dim() - len(shape)], *(1 for _ in shape))
    shaped = back(result.reshape(x.shape), x.dtype)
    return shaped, back(average.reshape(outer), x.dtype), back(inverse.reshape(outer), x.dtype)


@replaces("native_layer_norm_backward")
def layer_norm_backward(
    grad: Tensor, x: Tensor, shape: Sequence[int], mean: Tensor, inverse: Tensor,
    weight: Tensor | None, bias: Tensor | None, wanted: Sequence[bool],
) -> Three:  # fmt: skip
    size = prod(shape)
    rows, g = double(x).reshape(-1, size), double(grad).reshape(-1, size)
    scale = _column(inverse, 1.0)
    normal = (rows - _column(mean, 0.0)) * scale
    result: list[Tensor | None] = [None, None, None]
    if wanted[0]:
        through = _through(g * _column(weight, 1.0).T, normal, scale)
        result[0] = back(through.reshape(x.shape), x.dtype)
    if wanted[1]:
        result[1] = back(sum64(g * normal, (0,)).reshape(tuple(shape)), x.dtype)
    if wanted[2]:
        result[2] = back(sum64(g, (0,)).reshape(tuple(shape)), x.dtype)
    return result[0], result[1], result[2]


@replaces("native_group_norm")
def group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, samples: int, channels: int,
    places: int, groups: int, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    rows = double(x).reshape(samples * groups, -1)
    average, variance = _statistics(rows)
    inverse = _inverse_root(variance, eps)
    normal = ((rows - average) * inverse).reshape(samples, channels, places)
    result = normal * _column(weight, 1.0) + _column(bias, 0.0)
    shape = (samples, groups)
    shaped = back(result.reshape(x.shape), x.dtype)
    return shaped, back(average.reshape(shape), x.dtype), back(inverse.reshape(shape), x.dtype)


@replaces("native_group_norm_backward")
def group_norm_backward(
    grad: Tensor, x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor | None, samples: int,
    channels: int, places: int, groups: int, wanted: Sequence[bool],
) -> Three:  # fmt: skip
    rows, g = double(x).reshape(samples * groups, -1), double(grad)
    scale = _column(inverse, 1.0)
    normal = (rows - _column(mean, 0.0)) * scale
    by_channel = g.reshape(samples, channels, places)
    result: list[Tensor | None] = [None, None, None]
    if wanted[0]:
        scaled = (by_channel * _column(weight, 1.0)).reshape(rows.shape)
        result[0] = back(_through(scaled, normal, scale).reshape(x.shape), x.dtype)
    if wanted[1]:
        products = by_channel * normal.reshape(by_channel.shape)
        result[1] = back(sum64(products, (0, 2)), x.dtype)
    if wanted[2]:
        result[2] = back(sum64(by_channel, (0, 2)), x.dtype)
    return result[0], result[1], result[2]


@replaces("_fused_rms_norm")
def rms_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, eps: float | None
) -> tuple[Tensor, Tensor]:
    size = prod(shape)
    rows = double(x).reshape(-1, size)
    least = torch.finfo(x.dtype).eps if eps is None else eps
    inverse = _inverse_root(_row_sums(rows * rows) / np.float64(size), least)
    result = rows * inverse * _column(weight, 1.0).T
    outer = (*x.shape[: x.dim() - len(shape)], *(1 for _ in shape))
    return back(result.reshape(x.shape), x.dtype), back(inverse.reshape(outer), x.dtype)


@replaces("_fused_rms_norm_backward")
def rms_norm_backward(
    grad: Tensor, x: Tensor, shape: Sequence[int], inverse: Tensor, weight: Tensor | None,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    size = prod(shape)
    rows, g, scale = (
        double(x).reshape(-1, size),
        double(grad).reshape(-1, size),
        _column(inverse, 1.0),
    )
    normal, scaled = rows * scale, g * _column(weight, 1.0).T
    common = normal * (_row_sums(scaled * normal) / np.float64(size))
    to_x = back((scale * (scaled - common)).reshape(x.shape), x.dtype) if wanted[0] else None
    to_weight = back(sum64(g * normal, (0,)).reshape(tuple(shape)), x.dtype) if wanted[1] else None
    return to_x, to_weight
