"""Tensors as arrays of NumPy, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afl_sim.portable.elementary import Double, ignoring_errors
from afl_sim.portable.operations.registry import Function, not_portable

Array = npt.NDArray[Any]
_FLOATS = (torch.float32, torch.float64)


def array(tensor: Tensor) -> Array:
    """The tensor's numbers; the memory is shared where this is possible."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise not_portable("aten", f"on {tensor.layout} tensors of {tensor.device}")
    result: Array = tensor.detach().numpy(force=True)
    return result


def double(tensor: Tensor) -> Double:
    """A copy in float64."""
    result: Double = np.atleast_1d(array(tensor)).astype(np.float64)
    return result.reshape(tensor.shape)


def back(result: Any, dtype: torch.dtype) -> Tensor:
    """Numbers in float64 as a tensor, rounded once."""
    kind = np.float64 if dtype == torch.float64 else np.float32
    with ignoring_errors():
        return torch.from_numpy(np.asarray(np.asarray(result).astype(kind), order="C"))


def float_type(*tensors: Any) -> torch.dtype:
    """The type of a result that is a float in any case."""
    found = torch.float32
    for tensor in tensors:
        if isinstance(tensor, Tensor):
            if tensor.is_floating_point() and tensor.dtype not in _FLOATS:
                raise not_portable("aten", f"for {tensor.dtype}")
            if tensor.dtype == torch.float64 and (tensor.dim() or found == torch.float32):
                found = torch.float64
    return found


def in_double(formula: Callable[..., Double]) -> Function:
    """A function of tensors from one of float64 arrays. It computes in float64 and rounds once.

    Arguments that are no tensors are passed as they are.
    """

    def function(*args: Any) -> Tensor:
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        dtype = float_type(*tensors)
        shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))
        given = [
            double(arg).reshape(arg.shape or (1,)) if isinstance(arg, Tensor) else arg
            for arg in args
        ]
        with ignoring_errors():
            return back(np.asarray(formula(*given)).reshape(shape), dtype)

    return function
