"""Losses of a chain and their gradients."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from afl_sim.portable.blas import Array

Labels = npt.NDArray[np.int64]


class Loss(Protocol):
    """A loss of logits for one batch size."""

    def __call__(self, logits: Array, labels: Labels) -> list[float]:
        """The loss of each sample; prepares `differentiate`."""

    def differentiate(self, weights: Array | np.float32, out: Array) -> None:
        """Write the gradient of the weighted sum of the losses.

        Args:
            weights: of the samples, shape (N, 1), or one for all.
            out: shape (N, classes).
        """


class CrossEntropy:
    """``-log softmax(logits)[label]``.

    Args:
        batch, classes: the shape of the logits.
    """

    def __init__(self, batch: int, classes: int) -> None:
        self._first = np.arange(batch) * classes
        self._top = np.empty((1, batch), np.float32)
        self._z = np.empty((classes, batch), np.float32)
        self._e = np.empty((classes, batch), np.float64)
        self._total = np.empty((1, batch), np.float64)

    def __call__(self, logits: Array, labels: Labels) -> list[float]:
        z, e = self._z, self._e
        np.copyto(z, logits.T)
        np.maximum.reduce(z, axis=0, out=self._top, keepdims=True)
        np.subtract(z, self._top, out=z)
        np.exp(z, out=e, dtype=np.float64)
        np.add.reduce(e, axis=0, out=self._total, keepdims=True)
        self._labels = labels
        chosen = z[labels, np.arange(len(labels))]
        return [
            math.log(t) - c for t, c in zip(self._total[0].tolist(), chosen.tolist(), strict=True)
        ]

    def differentiate(self, weights: Array | np.float32, out: Array) -> None:
        np.divide(self._e, self._total, out=self._e)
        np.copyto(out, self._e.T, casting="same_kind")
        flat = out.reshape(-1)
        flat[self._first + self._labels] -= 1
        np.multiply(out, weights, out=out)


class SquaredError:
    """Mean over the classes of ``(logit - 1[class = label])^2``.

    Args:
        batch, classes: the shape of the logits.
    """

    def __init__(self, batch: int, classes: int) -> None:
        self._difference = np.empty((batch, classes), np.float32)
        self._first = np.arange(batch) * classes
        self._classes = classes

    def __call__(self, logits: Array, labels: Labels) -> list[float]:
        difference = self._difference
        np.copyto(difference, logits)
        difference.reshape(-1)[self._first + labels] -= 1
        squares = np.square(difference.T.astype(np.float64))
        return (np.add.reduce(squares, axis=0) / self._classes).tolist()  # type: ignore[no-any-return]

    def differentiate(self, weights: Array | np.float32, out: Array) -> None:
        np.multiply(self._difference, np.float32(2 / self._classes), out=out)
        np.multiply(out, weights, out=out)


CHAIN_LOSSES: dict[str, type[CrossEntropy] | type[SquaredError]] = {
    "cross_entropy": CrossEntropy,
    "mse": SquaredError,
}
"""By the names of `afl_sim.learning.training.losses.LOSSES`."""
