"""The exponential function for small arrays of one shape, again and again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from afl_sim.portable.elementary import POWERS, STEP

_LOWEST = -700.0  # below it the result is not a normal number, and counts as that of -700
_PER_STEP = 1 / STEP
_LAST = POWERS.size - 1
_BITS = POWERS.size.bit_length() - 1
_MANTISSA = 52


class BufferedExp:
    """``exp(x)`` for x <= 0, with a relative error below 1e-10, and without new arrays.

    For a hundred numbers this takes two thirds of the time of `elementary.exp64`.

    Args:
        shape: of x.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._steps, self._rest, self._sum, self._power = (np.empty(shape) for _ in range(4))
        self._whole, self._index = (np.empty(shape, np.int64) for _ in range(2))

    def __call__(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The exponentials, until the next call; x is overwritten."""
        steps, rest, total, power = self._steps, self._rest, self._sum, self._power
        whole, index = self._whole, self._index
        np.fmax(x, _LOWEST, out=x)
        np.multiply(x, _PER_STEP, out=steps)
        np.rint(steps, out=steps)
        np.multiply(steps, STEP, out=rest)
        np.subtract(x, rest, out=rest)
        np.multiply(rest, 1 / 6, out=total)
        np.add(total, 0.5, out=total)
        np.multiply(total, rest, out=total)
        np.add(total, 1, out=total)
        np.multiply(total, rest, out=total)
        np.add(total, 1, out=total)
        np.copyto(whole, steps, casting="unsafe")
        np.bitwise_and(whole, _LAST, out=index)
        POWERS.take(index, out=power, mode="clip")
        np.right_shift(whole, _BITS, out=whole)
        np.left_shift(whole, _MANTISSA, out=whole)
        bits = power.view(np.int64)
        np.add(bits, whole, out=bits)
        np.multiply(power, total, out=power)
        return power
