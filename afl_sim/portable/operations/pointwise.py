"""Functions of single numbers: arithmetic that PyTorch may fuse, and the elementary functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from afl_sim.portable import elementary as e
from afl_sim.portable.elementary import Double
from afl_sim.portable.operations.arrays import array, back, double, float_type, in_double
from afl_sim.portable.operations.registry import replaces

Value = Tensor | float


def _scaled(x: Value, alpha: float) -> Value:
    """The product, rounded; PyTorch's own sums with a factor may round only once."""
    return x if alpha == 1 else torch.mul(x, alpha) if isinstance(x, Tensor) else x * alpha


@replaces("add")
def add(x: Value, y: Value, alpha: float = 1) -> Tensor:
    return torch.add(x, _scaled(y, alpha))


@replaces("sub")
def sub(x: Value, y: Value, alpha: float = 1) -> Tensor:
    return torch.sub(x, _scaled(y, alpha))


@replaces("add_")
def add_(x: Tensor, y: Value, alpha: float = 1) -> Tensor:
    return x.add_(_scaled(y, alpha))


@replaces("sub_")
def sub_(x: Tensor, y: Value, alpha: float = 1) -> Tensor:
    return x.sub_(_scaled(y, alpha))


@replaces("rsub")
def rsub(x: Tensor, y: Value, alpha: float = 1) -> Tensor:
    return torch.sub(y, _scaled(x, alpha))


@replaces("addcmul")
def addcmul(x: Tensor, first: Tensor, second: Tensor, *, value: float = 1) -> Tensor:
    return torch.add(x, torch.mul(_scaled(first, value), second))


@replaces("addcdiv")
def addcdiv(x: Tensor, first: Tensor, second: Tensor, *, value: float = 1) -> Tensor:
    return torch.add(x, torch.div(_scaled(first, value), second))


@replaces("lerp")
def lerp(start: Tensor, end: Tensor, weight: Value) -> Tensor:
    """PyTorch's formula in rounded steps: from the nearer of the two ends."""
    way = torch.sub(end, start)
    if isinstance(weight, Tensor):
        near = torch.add(start, torch.mul(weight, way))
        far = torch.sub(end, torch.mul(way, torch.sub(1, weight)))
        return torch.where(weight.abs() < 0.5, near, far)
    if abs(weight) < 0.5:
        return torch.add(start, torch.mul(way, weight))
    return torch.sub(end, torch.mul(way, 1 - weight))


@replaces("sqrt")
def sqrt(x: Tensor) -> Tensor:
    with e.ignoring_errors():
        if x.dtype in (torch.float32, torch.float64):
            return torch.from_numpy(np.asarray(np.sqrt(array(x))))
        return back(np.sqrt(double(x)), float_type(x))


@replaces("square")
def square(x: Tensor) -> Tensor:
    return torch.mul(x, x)


def _one(name: str, formula: Callable[[Double], Double]) -> None:
    replaces(name)(in_double(formula))


for _name, _formula in {
    "exp": e.exp64,
    "expm1": e.expm1_64,
    "exp2": lambda x: e.power64(np.array(2.0), x),
    "log": e.log64,
    "log1p": e.log1p64,
    "log2": lambda x: e.log64(x) / 0.6931471805599453,
    "log10": lambda x: e.log64(x) / 2.302585092994046,
    "erf": e.erf64,
    "tanh": e.tanh64,
    "sigmoid": e.sigmoid64,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "sin": lambda x: e.wave64(x)[1],
    "cos": lambda x: e.wave64(x)[0],
    "sinh": lambda x: (e.exp64(x) - e.exp64(-x)) / 2,
    "cosh": lambda x: (e.exp64(x) + e.exp64(-x)) / 2,
    "logaddexp": lambda x, y: np.maximum(x, y) + e.log1p64(e.exp64(-np.abs(x - y))),
}.items():
    _one(_name, _formula)  # type: ignore[arg-type]

tanh_backward = replaces("tanh_backward")(in_double(lambda g, y: g * (1.0 - y * y)))
sigmoid_backward = replaces("sigmoid_backward")(in_double(lambda g, y: g * ((1.0 - y) * y)))


_by_products: dict[float, Callable[[Tensor], Tensor]] = {
    1: torch.clone,
    2: lambda x: torch.mul(x, x),
    3: lambda x: torch.mul(torch.mul(x, x), x),
    0.5: sqrt,
    -1: torch.reciprocal,
}


@replaces("pow")
def power(x: Value, y: Value) -> Tensor:
    if not isinstance(y, Tensor) and isinstance(x, Tensor) and y in _by_products:
        return _by_products[y](x)
    dtype = float_type(x, y)
    one, other = (
        np.atleast_1d(double(v)) if isinstance(v, Tensor) else np.array([float(v)]) for v in (x, y)
    )
    shape = np.broadcast_shapes(*(v.shape for v in (x, y) if isinstance(v, Tensor)))
    with e.ignoring_errors():
        return back(e.power64(one, other).reshape(shape), dtype)


@replaces("xlogy")
def xlogy(x: Value, y: Value) -> Tensor:
    def formula(a: Any, b: Any) -> Double:
        return np.where((a == 0) & ~np.isnan(b), 0.0, a * e.log64(np.atleast_1d(b)))

    tensors = [torch.as_tensor(v) if not isinstance(v, Tensor) else v for v in (x, y)]
    return in_double(formula)(*tensors)


@replaces("fmod")
def fmod(x: Value, y: Value) -> Tensor:
    return _remainder(np.fmod, x, y)


@replaces("remainder")
def remainder(x: Value, y: Value) -> Tensor:
    return _remainder(np.mod, x, y)


def _remainder(function: Any, x: Value, y: Value) -> Tensor:
    one, other = (array(v) if isinstance(v, Tensor) else v for v in (x, y))
    with e.ignoring_errors():
        return torch.from_numpy(np.asarray(function(one, other)))


@replaces("index_add")
def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    return torch.index_add(x, dim, index, _scaled(source, alpha))  # type: ignore[arg-type]
