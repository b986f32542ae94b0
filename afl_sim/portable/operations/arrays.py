"""Tensors as arrays of NumPy, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afl_sim.portable.elementary import Double, ignoring_errors
from afl_sim.portable.operations.registry import not_portable

Array = npt.NDArray[Any]
_FLOATS = (torch.float32, torch.float64)
_PIECE = 2**13  # numbers


def array(tensor: Tensor) -> Array:
    """The tensor's numbers; the memory is shared where this is possible."""
    try:
        result: Array = tensor.detach().numpy()
    except TypeError:  # it is sparse, or on another device
        where = f"for {tensor.layout} tensors on {tensor.device}"
        raise not_portable("an operation", where.replace("torch.", "")) from None
    except RuntimeError:  # it is a view of a tensor with the other sign
        result = tensor.detach().resolve_conj().resolve_neg().numpy()
    return result


def double(tensor: Tensor) -> Double:
    """A copy in float64."""
    result: Double = array(tensor).astype(np.float64)
    return result


def back(result: Any, dtype: torch.dtype) -> Tensor:
    """Numbers in float64 as a tensor, rounded once."""
    kind = np.float64 if dtype == torch.float64 else np.float32
    with ignoring_errors():
        return torch.from_numpy(np.asarray(result, order="C").astype(kind, copy=False))


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


def in_double(formula: Callable[..., Double]) -> Callable[..., Tensor]:
    """A function of tensors from one of float64 arrays. It computes in float64 and rounds once.

    The formula is of single numbers: large arrays are cut to pieces that fit into a cache.
    Arguments that are no tensors are passed as they are.
    """

    def function(*args: Any) -> Tensor:
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        dtype = float_type(*tensors)
        shapes = {tensor.shape for tensor in tensors}
        shape = next(iter(shapes)) if len(shapes) == 1 else np.broadcast_shapes(*shapes)
        if len(shapes) == 1 and prod(shape) > _PIECE:
            return _by_pieces(formula, args, dtype, shape)
        given = [np.atleast_1d(double(arg)) if isinstance(arg, Tensor) else arg for arg in args]
        with ignoring_errors():
            return back(formula(*given).reshape(shape), dtype)

    return function


def _by_pieces(
    formula: Callable[..., Double], args: Any, dtype: torch.dtype, shape: Sequence[int]
) -> Tensor:
    result = torch.empty(shape, dtype=dtype)
    into = result.numpy().reshape(-1)
    flat = [array(arg).reshape(-1) if isinstance(arg, Tensor) else arg for arg in args]
    with ignoring_errors():
        for start in range(0, len(into), _PIECE):
            piece = slice(start, start + _PIECE)
            into[piece] = formula(
                *(a[piece].astype(np.float64) if isinstance(a, np.ndarray) else a for a in flat)
            )
    return result
