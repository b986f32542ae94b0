"""Elementary functions whose bits are the same on every processor.

IEEE 754 fixes the result of + - * / and of the square root, but not of exp, log and the others.
Libraries choose among versions of those by the processor. Here each function is a table and a short
polynomial. They are made of exact operations of NumPy, in float64. A float32 result is rounded
once, and is within about half a unit in its last place. A float64 result has relative errors of
about 1e-15.

Functions whose names end in 64 take float64, and leave warnings to the caller (`ignoring_errors`).
The others also take float32; a result has the type of its argument.
"""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from afl_sim.portable.exact_tables import ERF, ERF_STEP, inverse_factorials

Array = npt.NDArray[Any]
Double = npt.NDArray[np.float64]

ignoring_errors = partial(np.errstate, all="ignore")
"""A block in which overflow and invalid operands give inf and NaN without a warning."""

_PIECES = 64  # the table of exp has so many values for each power of two
_GRID = 128  # the table of log has so many values for each unit
_LEAST = 90  # log's first value is that of 90/128, just below the root of 1/2
_ROOT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_SHIFT = np.int64(52)
_TINY, _LARGEST = 2.0**-1022, float(np.finfo(np.float64).max)
_LOWEST, _HIGHEST = -708.0, 709.782712893384  # between them exp has normal float64 numbers

with localcontext(Context(prec=50)):
    _LN2 = Decimal(2).ln()
    POWERS = np.array([float(Decimal(2) ** (Decimal(k) / _PIECES)) for k in range(_PIECES)])
    _LOGS = np.array([float((Decimal(j) / _GRID).ln()) for j in range(_LEAST, 183)])
    _STEP = _LN2 / _PIECES
    STEP = float(_STEP)
    _PER_STEP = float(1 / _STEP)
    _STEP_HIGH = float(int(_STEP * 2**40)) / 2**40  # times an integer below 2**18 it is exact
    _STEP_LOW = float(_STEP - Decimal(_STEP_HIGH))
    _LN2_HIGH = float(int(_LN2 * 2**40)) / 2**40
    _LN2_LOW = float(_LN2 - Decimal(_LN2_HIGH))

_EXP = inverse_factorials(6)  # of r^2 / 2! to r^6 / 6!


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return _computed(tanh64, x)


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    return _computed(sigmoid64, x)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """``x - log(sum(exp(x)))`` along an axis."""
    with ignoring_errors():
        return log_softmax64(_double(x), axis).astype(x.dtype, copy=False)


def softmax(x: Array, axis: int = -1) -> Array:
    """``exp(x) / sum(exp(x))`` along an axis."""
    with ignoring_errors():
        return softmax64(_double(x), axis).astype(x.dtype, copy=False)


def log_softmax64(x: Double, axis: int) -> Double:
    shifted = x - _largest(x, axis)
    shifted -= log64(total(exp64(shifted), axis))
    return shifted


def softmax64(x: Double, axis: int) -> Double:
    numerator = exp64(x - _largest(x, axis))
    numerator /= total(numerator, axis)
    return numerator


def _largest(x: Double, axis: int) -> Double:
    found: Double = np.maximum.reduce(x, axis, keepdims=True, initial=-np.inf)
    return found


def total(x: Double, axis: int) -> Double:
    """Sums along an axis, which stays with length 1; their order depends on the shape alone."""
    if axis in (-1, x.ndim - 1) and x.flags.c_contiguous:
        found: Double = np.add.reduce(x, -1, keepdims=True)
        return found
    moved = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    sums: Double = np.moveaxis(np.add.reduce(moved, -1, keepdims=True), -1, axis)
    return sums


def exp64(x: Double) -> Double:
    """e to the power x."""
    power, tail = _exp_parts(x)
    power += power * tail
    return _beyond(x, power, 0.0)


def expm1_64(x: Double) -> Double:
    """e to the power x, minus 1; exact near 0 too."""
    power, tail = _exp_parts(x)
    # Near 0 the power is 1, and the tail has all the digits.
    return _beyond(x, (power - 1.0) + power * tail, -1.0)


def _exp_parts(x: Double) -> tuple[Double, Double]:
    """(p, t) with exp(x) = p (1 + t), p a power of 2^(1/64)."""
    inside = np.minimum(np.maximum(x, _LOWEST), _HIGHEST)  # NaN stays NaN
    steps = np.rint(inside * _PER_STEP)
    rest = inside - steps * _STEP_HIGH
    rest -= steps * _STEP_LOW
    # NaN becomes the least number of steps, because no integer stands for it.
    whole = np.fmax(steps, _LOWEST * _PER_STEP).astype(np.int64)
    power = POWERS.take(whole & (_PIECES - 1))
    whole >>= 6
    whole <<= _SHIFT
    bits = power.view(np.int64)
    bits += whole
    tail = rest * _EXP[4]
    for factor in _EXP[3::-1]:
        tail += factor
        tail *= rest
    tail *= rest
    tail += rest
    return power, tail


def _within(x: Double, least: float, most: float) -> bool:
    """Whether all numbers are in a range; NaN is not."""
    if not x.size:
        return True
    return bool(np.minimum.reduce(x, None) >= least and np.maximum.reduce(x, None) <= most)


def _beyond(x: Double, result: Double, least: float) -> Double:
    """The result, mended where x has left the range of normal numbers."""
    if not _within(x, _LOWEST, _HIGHEST):
        result[x > _HIGHEST] = np.inf
        low = x < _LOWEST
        if low.any():
            # Subnormal numbers: the range is entered by 100 halvings less, and left by them.
            shifted = np.maximum(x[low], -800.0) + 69.0
            result[low] = exp64(shifted) * exp64(np.array([-69.0])) if least == 0 else least
    return result


def log64(x: Double) -> Double:
    """The natural logarithm; -inf at 0 and NaN below."""
    if not _within(x, _TINY, _LARGEST):
        return _unusual_log(x)
    bits = x.view(np.int64) if x.flags.c_contiguous else np.ascontiguousarray(x).view(np.int64)
    exponent = (bits - _ROOT_HALF_BITS) >> _SHIFT
    mantissa = (bits - (exponent << _SHIFT)).view(np.float64)  # from the root of 1/2 to that of 2
    nearest = np.rint(mantissa * _GRID)
    index = nearest.astype(np.int64)
    index -= _LEAST
    nearest /= _GRID
    # log(m / c) is 2 atanh(s) with s = (m - c) / (m + c), and m - c is exact.
    s = (mantissa - nearest) / (mantissa + nearest)
    square = s * s
    tail = square * (2 / 7)
    tail += 2 / 5
    tail *= square
    tail += 2 / 3
    tail *= square
    tail *= s
    number = exponent.astype(np.float64)
    tail += number * _LN2_LOW
    s *= 2
    tail += s
    tail += _LOGS.take(index)
    tail += number * _LN2_HIGH
    return tail


def _unusual_log(x: Double) -> Double:
    """The logarithm where some numbers are subnormal, not positive or not finite."""
    result = np.full(x.shape, np.nan)
    result[x == 0] = -np.inf
    result[x == np.inf] = np.inf
    usual = (x >= _TINY) & (x < np.inf)
    result[usual] = log64(x[usual])
    small = (x > 0) & (x < _TINY)
    if small.any():
        result[small] = log64(x[small] * 2.0**54) - 54 * float(_LN2)
    return result


def log1p64(x: Double) -> Double:
    """The natural logarithm of 1 + x; exact near 0 too."""
    shifted = 1.0 + x
    lost = x - (shifted - 1.0)
    result = log64(shifted)
    usual = (shifted > 0) & (shifted < np.inf)
    result += np.where(usual, lost / shifted, 0.0)
    return result


def tanh64(x: Double) -> Double:
    grown = expm1_64(np.minimum(np.abs(x), 20.0) * 2.0)
    return np.copysign(grown / (grown + 2.0), x)


def sigmoid64(x: Double) -> Double:
    return 1.0 / (1.0 + exp64(-x))


def softplus64(x: Double) -> Double:
    """``log(1 + exp(x))``."""
    return np.maximum(x, 0.0) + log1p64(exp64(-np.abs(x)))


def erf64(x: Double) -> Double:
    """The error function."""
    size = np.minimum(np.abs(x), 6.0)  # erf(6) rounds to 1
    index = np.fmax(np.rint(size / ERF_STEP), 0.0)  # 0 for NaN
    rest = size - index * ERF_STEP
    index = np.fmin(index, len(ERF[0]) - 1).astype(np.int64)
    result = ERF[-1].take(index)
    for column in ERF[-2::-1]:
        result *= rest
        result += column.take(index)
    return np.copysign(result, x)


def power64(x: Double, y: Double) -> Double:
    """x to the power y; the arrays are broadcast. NaN as C's ``pow`` has it."""
    x, y = np.broadcast_arrays(x, y)
    whole = np.rint(y) == y
    odd = whole & (np.abs(y) < 2.0**53) & (np.rint(y / 2) * 2 != y)
    result = exp64(y * log64(np.abs(x)))
    # The error of a logarithm grows with the power; for whole powers it does not.
    result = np.where(odd & np.signbit(x), -result, result)
    result[(x < 0) & ~whole & np.isfinite(x) & np.isfinite(y)] = np.nan
    result[(y == 0) | (x == 1) | ((x == -1) & np.isinf(y))] = 1.0
    return result


def _double(x: Array) -> Double:
    return x.astype(np.float64)


def _computed(function: Any, x: Array) -> Array:
    with ignoring_errors():
        found: Array = function(np.atleast_1d(_double(x))).reshape(x.shape)
    return found.astype(x.dtype, copy=False)
