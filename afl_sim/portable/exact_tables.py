"""Coefficients of the elementary functions, computed by exact rational and decimal arithmetic."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from math import factorial

import numpy as np
import numpy.typing as npt

ERF_STEP = 1 / 16
_ERF_POINTS, _ERF_TERMS = 97, 9
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582")


def _in_parts(value: Decimal, bits: int) -> tuple[float, float, float]:
    """A number from 1 to 2 as a sum; the first two parts have so many bits."""
    first = float(int(value * 2**bits)) / 2**bits
    rest = value - Decimal(first)
    second = float(int(rest * 2 ** (2 * bits))) / 2 ** (2 * bits)
    return first, second, float(rest - Decimal(second))


with localcontext(Context(prec=50)):
    HALF_PI = _in_parts(_PI / 2, 32)


def inverse_factorials(last: int) -> list[float]:
    """1/2!, 1/3!, ..., 1/last!."""
    return [1 / factorial(n) for n in range(2, last + 1)]


COSINE = [(-1) ** n / factorial(2 * n) for n in range(9)]
"""Of cos(x), by powers of x^2."""

SINE = [(-1) ** n / factorial(2 * n + 1) for n in range(9)]
"""Of sin(x) / x, by powers of x^2."""


def _erf_derivatives(at: Decimal) -> list[Decimal]:
    """The Taylor coefficients of erf at a point, from the first power on.

    With g = (2 / sqrt(pi)) exp(-x^2), the n-th derivative of g is (-1)^n H_n(x) g, where H_n is a
    polynomial of Hermite.
    """
    density = 2 / _PI.sqrt() * (-at * at).exp()
    hermite = [Decimal(1), 2 * at]
    for n in range(1, _ERF_TERMS * 3):
        hermite.append(2 * at * hermite[n] - 2 * n * hermite[n - 1])
    return [(-1) ** n * h * density / factorial(n + 1) for n, h in enumerate(hermite)]


def _erf_table() -> list[npt.NDArray[np.float64]]:
    """Column n has the n-th Taylor coefficient of erf at 0, 1/16, ..., 6."""
    rows: list[list[float]] = []
    with localcontext(Context(prec=30)):
        value, step = Decimal(0), Decimal(ERF_STEP)
        for index in range(_ERF_POINTS):
            derivatives = _erf_derivatives(index * step)
            rows.append([float(c) for c in [value, *derivatives[: _ERF_TERMS - 1]]])
            value += sum(c * step ** (n + 1) for n, c in enumerate(derivatives))
    return [np.ascontiguousarray(column) for column in np.array(rows).T]


ERF = _erf_table()
