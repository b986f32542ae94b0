"""Losses of a chain and their gradients."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from afl_sim.portable.blas import Array32
from afl_sim.portable.buffered_exp import BufferedExp

Labels = npt.NDArray[np.int64]


class Loss(Protocol):
    """A loss of logits for one batch size."""

    def __call__(self, logits: Array32, labels: Labels) -> list[float]:
        """The loss of each sample; prepares `differentiate`."""

    def differentiate(self, weights: Array32 | np.float32, out: Array32) -> None:
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
        self._samples = np.arange(batch)
        self._z = np.empty((classes, batch))
        self._exp = BufferedExp(self._z.shape)
        self._top, self._total = (np.empty((1, batch)) for _ in range(2))
        self._unit = np.eye(classes)
        self._target = np.empty((batch, classes))

    def __call__(self, logits: Array32, labels: Labels) -> list[float]:
        z = self._z
        np.copyto(z, logits.T)
        np.maximum.reduce(z, axis=0, out=self._top, keepdims=True)
        np.subtract(z, self._top, out=z)
        chosen = z[labels, self._samples].tolist()
        self._shares = self._exp(z)
        np.add.reduce(self._shares, axis=0, out=self._total, keepdims=True)
        self._labels = labels
        return [math.log(t) - c for t, c in zip(self._total[0].tolist(), chosen, strict=True)]

    def differentiate(self, weights: Array32 | np.float32, out: Array32) -> None:
        np.divide(self._shares, self._total, out=self._shares)
        self._unit.take(self._labels, axis=0, out=self._target, mode="clip")
        np.subtract(self._shares.T, self._target, out=out, casting="same_kind")
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

    def __call__(self, logits: Array32, labels: Labels) -> list[float]:
        difference = self._difference
        np.copyto(difference, logits)
        difference.reshape(-1)[self._first + labels] -= 1
        squares = np.square(difference.T.astype(np.float64))
        return (np.add.reduce(squares, axis=0) / self._classes).tolist()  # type: ignore[no-any-return]

    def differentiate(self, weights: Array32 | np.float32, out: Array32) -> None:
        np.multiply(self._difference, np.float32(2 / self._classes), out=out)
        np.multiply(out, weights, out=out)


CHAIN_LOSSES: dict[str, type[CrossEntropy] | type[SquaredError]] = {
    "cross_entropy": CrossEntropy,
    "mse": SquaredError,
}
"""By the names of `afl_sim.learning.training.losses.LOSSES`."""
