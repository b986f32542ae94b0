"""Elementary functions with the same bits on every x86-64 processor that has FMA.

NumPy's own ``exp``, ``log``, ``power`` and their like choose their code at run time, by what the
processor can do, and differ in the last bit. The C library's ``exp``, ``log``, ``pow``, ``sin`` and
``cos`` are the same from glibc 2.31 to 2.43, while its other functions were rewritten in
between. So those five come from Python's ``math``, and the others are made of them here by
additions, multiplications, divisions and square roots, which IEEE 754 rounds in one way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

exp, log, sqrt, sin, cos = math.exp, math.log, math.sqrt, math.sin, math.cos

normal = NormalDist().inv_cdf
"""The standard normal quantile function."""

# A rational approximation of that function for |u - 1/2| <= 0.425, by falling powers of
# 0.425^2 - (u - 1/2)^2: Wichura, "Algorithm AS 241", Applied Statistics 37 (1988), PPND16. Python's
# own function is the same.
_CENTRE, _CENTRE_SQUARED = 0.425, 0.180625
_ABOVE = (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
          4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
          1.3314166789178437745e2, 3.3871328727963666080e0)  # fmt: skip
_BELOW = (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
          2.1213794301586595867e4, 5.3941960214247510770e3, 6.8718700749205790830e2,
          4.2313330701600911252e1, 1.0)  # fmt: skip

LOWEST, HIGHEST = 2.0**-53, 1 - 2.0**-53
"""The ends of what a stream can draw."""

_SERIES = tuple((-1) ** k / (2 * k + 1) for k in range(12))


def log1p(x: float) -> float:
    """``log(1 + x)`` for x > -1, to about two units in the last place."""
    above = 1.0 + x
    kept = above - 1.0
    return log(above) * (x / kept) if kept else x


def expm1(x: float) -> float:
    """``exp(x) - 1``, to about two units in the last place."""
    if x < -38:
        return -1.0
    above = exp(x)
    kept = above - 1.0
    if not kept:
        return x
    return kept * (x / log(above)) if x < 1 else kept


def atan(x: float) -> float:
    """The inverse tangent."""
    if abs(x) > 1:
        return math.copysign(math.pi / 2, x) - atan(1 / x)
    for _ in range(2):  # each time half the angle
        x = x / (1 + sqrt(1 + x * x))
    square, total = x * x, 0.0
    for coefficient in reversed(_SERIES):
        total = total * square + coefficient
    return 4 * x * total


def atan2(y: float, x: float) -> float:
    """The angle of the point (x, y), from -pi to pi; 0 at the origin."""
    if x > 0:
        return atan(y / x)
    if y == 0:
        return math.pi if x < 0 else 0.0
    return math.copysign(math.pi / 2, y) - atan(x / y)


def normals(us: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`normal` of each of ``us``, shape (n,), bit for bit."""
    return _normals(us) if _agrees() else each(normal, us)


def _normals(us: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from_half = us - 0.5
    r = _CENTRE_SQUARED - from_half * from_half
    above, below = np.full_like(r, _ABOVE[0]), np.full_like(r, _BELOW[0])
    for p, q in zip(_ABOVE[1:], _BELOW[1:], strict=True):
        above *= r
        above += p
        below *= r
        below += q
    found = above * from_half / below
    tails = np.flatnonzero(np.abs(from_half) > _CENTRE)
    found[tails] = [normal(u) for u in us[tails].tolist()]
    return found


@cache
def _agrees() -> bool:
    """Whether Python's own function has the bits of single operations.

    A compiler that fuses multiplications and additions would give it others.
    """
    us = np.linspace(0.08, 0.92, 1000)
    return np.array_equal(_normals(us), each(normal, us))


def each(function: Callable[[float], float], values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """A function of an array of numbers, element by element; the result has its shape."""
    array = np.asarray(values, dtype=np.float64)
    return np.array([function(x) for x in array.ravel().tolist()], dtype=np.float64).reshape(
        array.shape
    )
