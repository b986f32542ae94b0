"""Losses and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from afl_sim.portable import elementary as e
from afl_sim.portable.elementary import Double
from afl_sim.portable.operations.arrays import Array, array, back, double
from afl_sim.portable.operations.registry import replaces

_NONE, _MEAN, _SUM = 0, 1, 2  # PyTorch's numbers of reductions


def _reduced(values: Double, reduction: int, dtype: torch.dtype) -> Tensor:
    if reduction == _NONE:
        return back(values, dtype)
    total = np.add.reduce(np.ascontiguousarray(values).reshape(-1))
    with e.ignoring_errors():
        return back(total / np.float64(values.size) if reduction == _MEAN else total, dtype)


def _spread(grad: Tensor, count: int, reduction: int) -> Double:
    """The gradient of each value."""
    g = double(grad)
    return g / count if reduction == _MEAN else g


def _picked(x: Tensor, target: Tensor, ignored: int) -> tuple[Array, Array, tuple[Any, ...]]:
    """The classes, those that count, and the index of each one's number in (N, C, ...) or (C,)."""
    classes = array(target)
    counted = classes != ignored
    classes = np.where(counted, classes, 0)
    if x.dim() == 1:
        return classes, counted, (classes,)
    places = np.ix_(*(np.arange(side) for side in classes.shape))
    return classes, counted, (places[0], classes, *places[1:])


@replaces("nll_loss_forward", "nll_loss2d_forward")
def nll_loss(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: int, ignore_index: int
) -> tuple[Tensor, Tensor]:
    classes, counted, index = _picked(x, target, ignore_index)
    factors = np.where(counted, 1.0 if weight is None else double(weight)[classes], 0.0)
    values = np.where(counted, -double(x)[index] * factors, 0.0)
    if reduction == _NONE:
        return back(values, x.dtype), back(0.0, x.dtype)
    total = np.add.reduce(np.ascontiguousarray(values).reshape(-1))
    divisor = np.add.reduce(np.ascontiguousarray(factors).reshape(-1))
    with e.ignoring_errors():
        loss = total / divisor if reduction == _MEAN else total
    return back(loss, x.dtype), back(divisor, x.dtype)


@replaces("nll_loss_backward", "nll_loss2d_backward")
def nll_loss_backward(
    grad: Tensor, x: Tensor, target: Tensor, weight: Tensor | None, reduction: int,
    ignore_index: int, total_weight: Tensor,
) -> Tensor:  # fmt: skip
    classes, counted, index = _picked(x, target, ignore_index)
    factors = np.where(counted, 1.0 if weight is None else double(weight)[classes], 0.0)
    result = np.zeros(x.shape)
    g = double(grad)
    with e.ignoring_errors():
        if reduction == _MEAN:
            g = g / double(total_weight)
        result[index] = np.where(counted, -factors * g, 0.0)
    return back(result, x.dtype)


def _loss(name: str, value: Callable[..., Double], slope: Callable[..., Double]) -> None:
    """Register a loss of differences ``value(d, *options)``, and ``slope``, its derivative."""

    def forward(x: Tensor, target: Tensor, reduction: int = _MEAN, *options: float) -> Tensor:
        return _reduced(value(double(x) - double(target), *options), reduction, x.dtype)

    def backward(
        grad: Tensor, x: Tensor, target: Tensor, reduction: int, *options: float
    ) -> Tensor:
        difference = double(x) - double(target)
        g = _spread(grad, difference.size, reduction)
        return back(g * slope(difference, *options), x.dtype)

    replaces(name)(forward)
    replaces(f"{name}_backward")(backward)


def _huber(d: Double, delta: float = 1.0) -> Double:
    size = np.abs(d)
    return np.where(size < delta, 0.5 * d * d, delta * (size - 0.5 * delta))


def _huber_slope(d: Double, delta: float = 1.0) -> Double:
    return np.clip(d, -delta, delta)


def _smooth(d: Double, beta: float = 1.0) -> Double:
    return np.abs(d) if beta == 0 else _huber(d, beta) / beta


def _smooth_slope(d: Double, beta: float = 1.0) -> Double:
    return np.sign(d) if beta == 0 else _huber_slope(d, beta) / beta


_loss("mse_loss", lambda d: d * d, lambda d: 2.0 * d)
_loss("huber_loss", _huber, _huber_slope)
_loss("smooth_l1_loss", _smooth, _smooth_slope)


@replaces("binary_cross_entropy_with_logits")
def with_logits(
    x: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None,
    reduction: int = _MEAN,
) -> Tensor:  # fmt: skip
    z, t = double(x), double(target)
    shape = np.broadcast_shapes(z.shape, t.shape)
    with e.ignoring_errors():
        cost = e.softplus64(np.atleast_1d(-z)).reshape(z.shape)
        factor = 1.0 if pos_weight is None else 1.0 + (double(pos_weight) - 1.0) * t
        values = (1.0 - t) * z + factor * cost
        if weight is not None:
            values = values * double(weight)
    return _reduced(np.broadcast_to(values, shape), reduction, x.dtype)


@replaces("binary_cross_entropy")
def binary_cross_entropy(
    x: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = _MEAN
) -> Tensor:
    p, t = np.atleast_1d(double(x)), np.atleast_1d(double(target))
    with e.ignoring_errors():
        values = (t - 1.0) * np.maximum(e.log1p64(-p), -100.0)
        values -= t * np.maximum(e.log64(p), -100.0)
        if weight is not None:
            values = values * double(weight)
    return _reduced(values.reshape(x.shape), reduction, x.dtype)


@replaces("binary_cross_entropy_backward")
def binary_cross_entropy_backward(
    grad: Tensor, x: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = _MEAN
) -> Tensor:
    p, t = double(x), double(target)
    slope = (p - t) / np.maximum((1.0 - p) * p, 1e-12)
    if weight is not None:
        slope = slope * double(weight)
    return back(_spread(grad, p.size, reduction) * slope, x.dtype)
