"""Matrix products."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from afl_sim.portable.blas import product
from afl_sim.portable.operations.arrays import Array, array, back, double
from afl_sim.portable.operations.registry import replaces

Number = float


@replaces("mm")
def mm(a: Tensor, b: Tensor) -> Tensor:
    return torch.from_numpy(product(array(a), array(b)))


@replaces("bmm")
def bmm(a: Tensor, b: Tensor) -> Tensor:
    return torch.from_numpy(_batched(array(a), array(b)))


def _batched(a: Array, b: Array) -> Array:
    out = np.empty((len(a), a.shape[1], b.shape[2]), a.dtype)
    for left, right, result in zip(a, b, out, strict=True):
        product(left, right, result)
    return out


@replaces("mv")
def mv(a: Tensor, x: Tensor) -> Tensor:
    return torch.from_numpy(product(array(a), array(x)[:, None])[:, 0])


@replaces("dot", "vdot")
def dot(x: Tensor, y: Tensor) -> Tensor:
    return back(np.add.reduce(double(x) * double(y)), x.dtype)


def _added(beta: Number, to: Tensor, alpha: Number, result: Tensor) -> Tensor:
    """``beta to + alpha result``, each factor applied only if it is not 1."""
    if alpha != 1:
        result = result.mul_(alpha)
    if beta == 0:
        return result
    return result.add_(to if beta == 1 else to * beta)


@replaces("addmm")
def addmm(to: Tensor, a: Tensor, b: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    return _added(beta, to, alpha, mm(a, b))


@replaces("addmv")
def addmv(to: Tensor, a: Tensor, x: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    return _added(beta, to, alpha, mv(a, x))


@replaces("addr")
def addr(to: Tensor, x: Tensor, y: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    return _added(beta, to, alpha, x[:, None] * y)


@replaces("baddbmm")
def baddbmm(to: Tensor, a: Tensor, b: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    return _added(beta, to, alpha, bmm(a, b))


@replaces("addbmm")
def addbmm(to: Tensor, a: Tensor, b: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    left = a.transpose(0, 1).reshape(a.shape[1], -1)
    return _added(beta, to, alpha, mm(left, b.reshape(-1, b.shape[2])))
