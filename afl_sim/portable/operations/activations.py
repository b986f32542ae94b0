"""Softmax, and activation functions with their derivatives, computed in float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from afl_sim.portable import elementary as e
from afl_sim.portable.elementary import Double
from afl_sim.portable.operations.arrays import Array, array, back, double, in_double
from afl_sim.portable.operations.reductions import sum64
from afl_sim.portable.operations.registry import replaces

_ROOT_HALF = 0.7071067811865476
_DENSITY = 0.3989422804014327  # 1 / sqrt(2 pi)
_ROOT_2_BY_PI = 0.7978845608028654


def _flat(x: Tensor) -> Array:
    return np.atleast_1d(array(x))


@replaces("_softmax")
def softmax(x: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    return torch.from_numpy(e.softmax(_flat(x), dim).reshape(x.shape))


@replaces("_log_softmax")
def log_softmax(x: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    return torch.from_numpy(e.log_softmax(_flat(x), dim).reshape(x.shape))


@replaces("_safe_softmax")
def safe_softmax(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """Softmax, with 0 where everything is -inf."""
    result = softmax(x if dtype is None else x.to(dtype), dim)
    return torch.where((x == -torch.inf).all(dim, keepdim=True), 0.0, result)


@replaces("_softmax_backward_data")
def softmax_backward(grad: Tensor, y: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    g, p = double(grad), double(y)
    over = (dim % y.dim(),) if y.dim() else ()
    return back((g - sum64(g * p, over, True)) * p, grad.dtype)


@replaces("_log_softmax_backward_data")
def log_softmax_backward(grad: Tensor, y: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    g = double(grad)
    over = (dim % y.dim(),) if y.dim() else ()
    with e.ignoring_errors():
        p = e.exp64(np.atleast_1d(double(y))).reshape(y.shape)
        return back(g - p * sum64(g, over, True), grad.dtype)


def _normal(x: Double) -> Double:
    return 0.5 * (1.0 + e.erf64(x * _ROOT_HALF))


def _inner(x: Double) -> Double:
    """The argument of tanh in the approximate GELU."""
    return _ROOT_2_BY_PI * (x + 0.044715 * (x * x * x))


@replaces("gelu")
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        return _gelu_tanh(x)
    return _gelu(x)


_gelu = in_double(lambda x: x * _normal(x))
_gelu_tanh = in_double(lambda x: 0.5 * x * (1.0 + e.tanh64(_inner(x))))


@replaces("gelu_backward")
def gelu_backward(grad: Tensor, x: Tensor, *, approximate: str = "none") -> Tensor:
    return _gelu_tanh_slope(grad, x) if approximate == "tanh" else _gelu_slope(grad, x)


_gelu_slope = in_double(lambda g, x: g * (_normal(x) + x * _DENSITY * e.exp64(-0.5 * (x * x))))


def _gelu_tanh_formula(g: Double, x: Double) -> Double:
    t = e.tanh64(_inner(x))
    slope = _ROOT_2_BY_PI * (1.0 + 3 * 0.044715 * (x * x))
    return g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)


_gelu_tanh_slope = in_double(_gelu_tanh_formula)


@replaces("silu")
def silu(x: Tensor) -> Tensor:
    return _silu(x)


_silu = in_double(lambda x: x * e.sigmoid64(x))


def _silu_formula(g: Double, x: Double) -> Double:
    s = e.sigmoid64(x)
    return g * (s * (1.0 + x * (1.0 - s)))


replaces("silu_backward")(in_double(_silu_formula))
replaces("mish")(in_double(lambda x: x * e.tanh64(e.softplus64(x))))


def _mish_formula(g: Double, x: Double) -> Double:
    t = e.tanh64(e.softplus64(x))
    return g * (t + x * (1.0 - t * t) * e.sigmoid64(x))


replaces("mish_backward")(in_double(_mish_formula))


@replaces("softplus")
def softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    return _softplus(x, float(beta), float(threshold))


_softplus = in_double(
    lambda x, beta, threshold: np.where(x * beta > threshold, x, e.softplus64(x * beta) / beta)
)


@replaces("softplus_backward")
def softplus_backward(grad: Tensor, x: Tensor, beta: float, threshold: float) -> Tensor:
    return _softplus_slope(grad, x, float(beta), float(threshold))


_softplus_slope = in_double(
    lambda g, x, beta, threshold: np.where(x * beta > threshold, g, g * e.sigmoid64(x * beta))
)


@replaces("elu")
def elu(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    return _elu(x, float(alpha), float(scale), float(input_scale))


_elu = in_double(
    lambda x, a, s, i: np.where(x > 0, x * s, e.expm1_64(np.minimum(x, 0) * i) * (a * s))
)


@replaces("elu_backward")
def elu_backward(
    grad: Tensor, alpha: float, scale: float, input_scale: float, is_result: bool, x: Tensor
) -> Tensor:
    return _elu_slope(grad, x, float(alpha), float(scale), float(input_scale), is_result)


def _elu_formula(g: Double, x: Double, a: float, s: float, i: float, is_result: bool) -> Double:
    low = x + a * s if is_result else e.exp64(np.minimum(x, 0) * i) * (a * s)
    return g * np.where(x > 0, s, low * i)


_elu_slope = in_double(_elu_formula)


@replaces("celu")
def celu(x: Tensor, alpha: float = 1) -> Tensor:
    return _elu(x, float(alpha), 1.0, 1.0 / alpha)


@replaces("selu")
def selu(x: Tensor) -> Tensor:
    return _elu(x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


@replaces("leaky_relu")
def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    return torch.where(x > 0, x, x * negative_slope)


@replaces("leaky_relu_backward")
def leaky_relu_backward(grad: Tensor, x: Tensor, slope: float, is_result: bool) -> Tensor:
    return torch.where(x > 0, grad, grad * slope)


replaces("softshrink")(
    in_double(lambda x, d=0.5: np.where(np.abs(x) > d, x - np.copysign(d, x), 0.0))
)
replaces("hardsigmoid")(in_double(lambda x: np.clip(x + 3, 0, 6) / 6))
replaces("hardsigmoid_backward")(in_double(lambda g, x: np.where(np.abs(x) < 3, g / 6, 0.0)))
replaces("hardswish")(in_double(lambda x: x * np.clip(x + 3, 0, 6) / 6))
replaces("hardswish_backward")(
    in_double(lambda g, x: g * np.where(x <= -3, 0.0, np.where(x < 3, x / 3 + 0.5, 1.0)))
)
_log_sigmoid = in_double(lambda x: -e.softplus64(-x))


@replaces("log_sigmoid_forward")
def log_sigmoid(x: Tensor) -> tuple[Tensor, Tensor]:
    return _log_sigmoid(x), x.new_empty(0)


@replaces("log_sigmoid_backward")
def log_sigmoid_backward(grad: Tensor, x: Tensor, buffer: Tensor) -> Tensor:
    return _log_sigmoid_slope(grad, x)


_log_sigmoid_slope = in_double(lambda g, x: g * e.sigmoid64(-x))


@replaces("glu")
def glu(x: Tensor, dim: int = -1) -> Tensor:
    first, second = x.chunk(2, dim)
    return _glu(first, second)


_glu = in_double(lambda a, b: a * e.sigmoid64(b))


@replaces("glu_backward")
def glu_backward(grad: Tensor, x: Tensor, dim: int) -> Tensor:
    first, second = x.chunk(2, dim)
    return torch.cat([_glu_first(grad, second), _glu_second(grad, first, second)], dim)


_glu_first = in_double(lambda g, b: g * e.sigmoid64(b))


def _glu_formula(g: Double, a: Double, b: Double) -> Double:
    s = e.sigmoid64(b)
    return g * a * (s * (1.0 - s))


_glu_second = in_double(_glu_formula)


@replaces("_prelu_kernel_backward")
def prelu_backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    positive = x > 0
    return torch.where(positive, grad, weight * grad), torch.where(positive, 0.0, x * grad)
