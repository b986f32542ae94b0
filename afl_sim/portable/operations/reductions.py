"""Sums, means, variances, norms and what is made of them. Their order depends on shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from afl_sim.portable.elementary import Double, exp64, ignoring_errors, log64, power64
from afl_sim.portable.operations.arrays import array, back, double, float_type
from afl_sim.portable.operations.registry import not_portable, replaces

Dims = Sequence[int] | int | None


def axes(dims: Dims, count: int) -> tuple[int, ...]:
    """Dimensions as PyTorch names them, counted from 0; none or an empty list means all."""
    if dims is None or (not isinstance(dims, int) and not len(dims)):
        return tuple(range(count))
    listed = (dims,) if isinstance(dims, int) else dims
    return tuple(sorted(dim % count for dim in listed)) if count else ()


def sum64(x: Double, over: tuple[int, ...], keep: bool = False) -> Double:
    """Sums over axes. The sum over trailing or leading axes needs no copy."""
    kept = [axis for axis in range(x.ndim) if axis not in over]
    shape = tuple(1 if axis in over else side for axis, side in enumerate(x.shape))
    sides = tuple(x.shape[axis] for axis in kept)
    length = prod(x.shape[axis] for axis in over)
    if kept and over == tuple(range(len(over))):
        result = np.add.reduce(np.ascontiguousarray(x).reshape(length, -1), 0)
    else:
        moved = np.ascontiguousarray(x.transpose(*kept, *over))
        result = np.add.reduce(moved.reshape(prod(sides), length), 1)
    found: Double = np.asarray(result).reshape(shape if keep else sides)
    return found


def summed(x: Tensor, dims: Dims, keep: bool = False) -> Tensor:
    """The sum over dimensions, in float64, rounded once."""
    return back(sum64(double(x), axes(dims, x.dim()), keep), x.dtype)


def _typed(x: Tensor, dtype: torch.dtype | None) -> Tensor:
    return x if dtype is None or dtype == x.dtype else x.to(dtype)


def _is_whole(x: Tensor) -> bool:
    return not (x.is_floating_point() or x.is_complex())


@replaces("sum")
def sum_(
    x: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor:
    x = _typed(x, dtype)
    if _is_whole(x):
        return x.sum(axes(dim, x.dim()), keepdim) if x.dim() else x.sum()
    return summed(x, dim, keepdim)


@replaces("mean")
def mean(
    x: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor:
    x = _typed(x, dtype)
    over = axes(dim, x.dim())
    with ignoring_errors():
        total = sum64(double(x), over, keepdim) / np.float64(prod(x.shape[a] for a in over))
    return back(total, x.dtype)


def _moments(x: Tensor, dim: Dims, correction: Any, keep: bool) -> tuple[Double, Double]:
    over = axes(dim, x.dim())
    numbers = double(x)
    count = prod(x.shape[a] for a in over)
    freedom = count - (1 if correction is None else correction)
    with ignoring_errors():
        average = sum64(numbers, over, True) / np.float64(count)
        centred = numbers - average
        variance = sum64(centred * centred, over, keep) / np.float64(max(freedom, 0))
    return variance, average.reshape(variance.shape)


def _of_moments(
    x: Tensor, dim: Dims, correction: Any, keep: bool, root: bool
) -> tuple[Tensor, Tensor]:
    variance, average = _moments(x, dim, correction, keep)
    return back(np.sqrt(variance) if root else variance, x.dtype), back(average, x.dtype)


@replaces("var.correction")
def var(x: Tensor, dim: Dims = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    return _of_moments(x, dim, correction, keepdim, False)[0]


@replaces("std.correction")
def std(x: Tensor, dim: Dims = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    return _of_moments(x, dim, correction, keepdim, True)[0]


@replaces("var_mean.correction")
def var_mean(
    x: Tensor, dim: Dims = None, *, correction: Any = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    return _of_moments(x, dim, correction, keepdim, False)


@replaces("std_mean.correction")
def std_mean(
    x: Tensor, dim: Dims = None, *, correction: Any = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    return _of_moments(x, dim, correction, keepdim, True)


@replaces("linalg_vector_norm")
def vector_norm(
    x: Tensor, ord: float = 2, dim: Dims = None, keepdim: bool = False, *,
    dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    x = _typed(x, dtype)
    return back(_norm64(double(x), float(ord), axes(dim, x.dim()), keepdim), x.dtype)


def _norm64(numbers: Double, order: float, over: tuple[int, ...], keep: bool) -> Double:
    if order == 2:
        return np.sqrt(sum64(numbers * numbers, over, keep))
    sizes = np.abs(numbers)
    if order == np.inf:
        return np.asarray(np.max(sizes, over, keepdims=keep, initial=0.0))
    if order == -np.inf:
        return np.asarray(np.min(sizes, over, keepdims=keep))
    if order == 0:
        return sum64((sizes != 0).astype(np.float64), over, keep)
    if order == 1:
        return sum64(sizes, over, keep)
    with ignoring_errors():
        total = sum64(
            power64(np.atleast_1d(sizes), np.array(order)).reshape(sizes.shape), over, keep
        )
        return power64(np.atleast_1d(total), np.array(1 / order)).reshape(total.shape)


@replaces("norm")
def norm(
    x: Tensor, p: float | None = 2, dim: Dims = None, keepdim: bool = False, *,
    dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    return vector_norm(x, 2 if p is None else p, dim, keepdim, dtype=dtype)


@replaces("prod")
def product_of_all(
    x: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor:
    x = _typed(x, dtype)
    if _is_whole(x):
        return x.prod() if not isinstance(dim, int) else x.prod(dim, keepdim)
    over = axes(dim, x.dim())
    if len(over) == 1:
        lines = np.moveaxis(double(x), over[0], 0)
        result = np.ones(lines.shape[1:])
        for line in lines:
            result = result * line
        shape = [1 if a == over[0] else s for a, s in enumerate(x.shape)]
        return back(result.reshape(shape) if keepdim else result, x.dtype)
    return product_of_all(x.reshape(-1), 0)


@replaces("cumsum")
def cumsum(x: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    x = _typed(x, dtype)
    if _is_whole(x):
        return x.cumsum(dim)
    return back(np.add.accumulate(double(x), dim) if x.dim() else double(x), x.dtype)


@replaces("cumprod")
def cumprod(x: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    x = _typed(x, dtype)
    if _is_whole(x):
        return x.cumprod(dim)
    return back(np.multiply.accumulate(double(x), dim) if x.dim() else double(x), x.dtype)


@replaces("logsumexp")
def logsumexp(x: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    over = axes(dim, x.dim())
    numbers = double(x)
    with ignoring_errors():
        top = np.asarray(np.maximum.reduce(numbers, over, keepdims=True))
        top = np.where(np.isfinite(top), top, 0.0)
        total = sum64(exp64(np.atleast_1d(numbers - top)).reshape(x.shape), over, True)
        result = log64(np.atleast_1d(total)).reshape(total.shape) + top
    if not keepdim:
        result = result.reshape([s for a, s in enumerate(x.shape) if a not in over])
    return back(result, float_type(x))


@replaces("embedding_dense_backward")
def embedding_dense_backward(
    grad: Tensor, indices: Tensor, count: int, padding: int, by_frequency: bool
) -> Tensor:
    if by_frequency:
        raise not_portable("aten.embedding_dense_backward", "if it scales by frequency")
    result = np.zeros((count, grad.shape[-1]), np.float64)
    chosen = array(indices).reshape(-1)
    kept = chosen != padding
    np.add.at(result, chosen[kept], double(grad).reshape(-1, grad.shape[-1])[kept])
    return back(result, grad.dtype)
