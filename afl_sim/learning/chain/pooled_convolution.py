"""Convolution, 2x2 max-pooling and ReLU as one layer, with the batch as the innermost axis.

Maps lie in memory as (H, C, W, N), so each operation works on hundreds of neighbouring numbers. The
columns that a kernel meets lie side by side in `patches`. Then a few rows of the output are one
matrix product, of windows that overlap in memory. With few channels, several rows are computed at
once: their kernels form a band in a larger matrix. This costs more multiplications and less time.

Axes: K, L rows and columns of the kernel; C channels; O output channels; h, w rows and columns of
the pooled output; N samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from afl_sim.learning.chain.links import (
    Call,
    Factors,
    Layer,
    Link,
    Weights,
    keep_where_positive,
    margined,
    share_by_sign,
)
from afl_sim.portable.blas import Array32, prepared

_WIDEST_BAND = (
    40  # output channels times rows at once, up to which a band was measured to be faster
)


class PooledConvolution(Layer):
    """``relu(max_pool2d(conv2d(x), 2))``.

    Args:
        channels, out: before and after.
        kernel: its rows and columns.
        margin: zeros around the input (pixels).
    """

    def __init__(self, channels: int, out: int, kernel: tuple[int, int], margin: int) -> None:
        self._channels, self._out, self._kernel, self.margin = channels, out, kernel, margin

    def orders(self) -> Sequence[tuple[tuple[int, ...], tuple[int, ...]]]:
        rows, columns = self._kernel
        return ((self._out, rows, columns, self._channels), (0, 3, 1, 2)), ((self._out,), (0,))

    def output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        sides = zip(shape[1:], self._kernel, strict=True)
        return self._out, *((side + 2 * self.margin - k + 1) // 2 for side, k in sides)

    def link(
        self, before: Link, weights: Sequence[Weights], factors: Factors, margin: int, last: bool
    ) -> Link:
        return _Convolved(before, weights, factors, self.margin, margin)


class _Convolved(Link):
    def __init__(
        self,
        before: Link,
        weights: Sequence[Weights],
        factors: Factors,
        own_margin: int,
        margin: int,
    ) -> None:
        self._weight, self._bias = weights
        self._factors, self._margin = factors, own_margin
        self._maps = maps = before.padded
        out, rows, columns, channels = self._weight.value.shape
        height, _, width, batch = maps.shape
        h, w = (height - rows + 1) // 2, (width - columns + 1) // 2
        used = 2 * h + rows - 1
        self._patches = np.empty((used, columns, channels, 2 * w, batch), np.float32)
        down, deep, right, near = maps.strides
        shape, strides = self._patches.shape, (down, right, deep, right, near)
        self._met = as_strided(maps, shape, strides, writeable=False)
        # Of `together` rows, row i uses the patches i to i + K.
        self._together = together = _rows_at_once(out, 2 * h)
        span = together + rows - 1
        self._band = np.zeros((together, out, span, columns * channels), np.float32)
        self._band_blocks = [self._band[i, :, i : i + rows] for i in range(together)]
        self._kernel = self._weight.value.reshape(out, rows, -1)
        self._full = np.empty((2 * h, out, 2 * w, batch), np.float32)
        flat = self._patches.reshape(used, columns * channels, -1)
        self._starts = range(0, 2 * h, together)
        self._windows = [flat[r : r + span].reshape(-1, 2 * w * batch) for r in self._starts]
        self._outputs = self._full.reshape(len(self._starts), together * out, -1)
        band = self._band.reshape(together * out, -1)
        self._products = [
            prepared(band, window, output)
            for window, output in zip(self._windows, self._outputs, strict=True)
        ]
        pairs = self._full.reshape(h, 2, out, w, 2, batch)
        self._upper, self._lower = pairs[:, 0], pairs[:, 1]
        self._halved = np.empty((h, out, w, 2, batch), np.float32)
        self._left, self._right = self._halved[:, :, :, 0], self._halved[:, :, :, 1]
        self.padded, self.y = margined(h, out, w, batch, margin)
        self._shift = self._bias.value[:, None, None]

    def forward(self) -> None:
        self._convolve()
        np.maximum(self._upper, self._lower, out=self._halved)
        np.subtract(self._upper, self._lower, out=self._lower)  # its sign tells which is larger
        np.maximum(self._left, self._right, out=self.y)
        np.subtract(self._left, self._right, out=self._right)
        self._rectify()

    def infer(self) -> None:
        self._convolve()
        np.maximum(self._upper, self._lower, out=self._halved)
        np.maximum(self._left, self._right, out=self.y)
        self._rectify()

    def _convolve(self) -> None:
        np.copyto(self._patches, self._met)
        for block in self._band_blocks:
            np.copyto(block, self._kernel)
        for product in self._products:
            product()

    def _rectify(self) -> None:
        np.add(self.y, self._shift, out=self.y)  # the largest is the same without the bias
        np.maximum(self.y, 0, out=self.y)

    def turn(self, g: Array32, needed: bool) -> Array32:
        self._g = g
        _, out, w, batch = g.shape
        self._scratch = np.empty(g.shape, np.int32)
        self._sums = np.empty((out, w * batch), np.float32)
        ones = np.ones((w * batch, 1), np.float32)
        bias = self._bias.gradient[:, None]
        self._bias_gradient = prepared(self._sums, ones, bias, beta=self._factors.kept)
        self._band_gradient = np.empty(self._band.shape, np.float32)
        rows = self._weight.value.shape[1]
        self._gradient_blocks = [
            self._band_gradient[i, :, i : i + rows] for i in range(self._together)
        ]
        self._kernel_gradient = self._weight.gradient.reshape(self._kernel.shape)
        flat = self._band_gradient.reshape(self._together * out, -1)
        self._gradients: list[Call] = [
            prepared(output, window.T, flat, beta=float(index > 0))
            for index, (output, window) in enumerate(zip(self._outputs, self._windows, strict=True))
        ]
        self._spread: list[Call] = []
        return self._prepare_input_gradient() if needed else self._maps[:0]

    def _prepare_input_gradient(self) -> Array32:
        used, columns, channels, width, batch = self._patches.shape
        self._patches_gradient = np.empty(self._patches.shape, np.float32)
        flat = self._patches_gradient.reshape(used, columns * channels, -1)
        span = self._band.shape[2]
        band = self._band.reshape(len(self._outputs[0]), -1)
        self._spread = [  # windows overlap, so their gradients add up
            prepared(band.T, output, flat[r : r + span].reshape(-1, width * batch), beta=1.0)
            for r, output in zip(self._starts, self._outputs, strict=True)
        ]
        padded: Array32 = np.zeros(self._maps.shape, np.float32)
        self._maps_gradient = padded
        self._folds = [
            (padded[:used, :, column : column + width], self._patches_gradient[:, column])
            for column in range(columns)
        ]
        m = self._margin
        return padded[m : padded.shape[0] - m, :, m : padded.shape[2] - m]

    def backward(self) -> None:
        keep_where_positive(self._g, self.y, self._scratch)
        _, out, w, batch = self._g.shape
        np.add.reduce(self._g, axis=0, out=self._sums.reshape(out, w, batch))
        self._bias_gradient()
        share_by_sign(self._g, self._right, self._left)
        share_by_sign(self._halved, self._lower, self._upper)
        # `halved` and `full` are now the gradients of what they were.
        for product in self._gradients:
            product()
        blocks = iter(self._gradient_blocks)
        if not self._factors.kept.value:
            np.copyto(self._kernel_gradient, next(blocks))
        for block in blocks:
            np.add(self._kernel_gradient, block, out=self._kernel_gradient)
        if self._spread:
            self._patches_gradient.fill(0)
            for product in self._spread:
                product()
            self._maps_gradient.fill(0)
            for place, part in self._folds:
                np.add(place, part, out=place)


def _rows_at_once(out: int, height: int) -> int:
    for rows in (4, 2):
        if rows * out <= _WIDEST_BAND and height % rows == 0:
            return rows
    return 1
