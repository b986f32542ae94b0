"""Metrics of regression."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from afl_sim.learning.metrics.tally import Array, Tally, Values, exact_sum, mean_of


class MeanAbsoluteError:
    """Over all samples and outputs."""

    def __init__(self) -> None:
        self._errors = Values()

    def add(self, outputs: Array, labels: Array) -> None:
        self._errors.add(np.abs(_errors(outputs, labels)))

    def value(self) -> float:
        return self._errors.mean()


class RootMeanSquaredError:
    """The root of the mean over all samples and outputs."""

    def __init__(self) -> None:
        self._squares = Values()

    def add(self, outputs: Array, labels: Array) -> None:
        self._squares.add(np.square(_errors(outputs, labels)))

    def value(self) -> float:
        return math.sqrt(self._squares.mean())


class Determination:
    """1 - squared error / squared deviation from the mean, for each output; the mean of these.

    An output counts if its labels differ.
    """

    def __init__(self) -> None:
        self._outputs: list[Array] = []
        self._labels: list[Array] = []

    def add(self, outputs: Array, labels: Array) -> None:
        self._outputs.append(outputs.astype(np.float64))
        self._labels.append(labels.astype(np.float64))

    def value(self) -> float:
        if not self._labels:
            return math.nan
        outputs, labels = np.concatenate(self._outputs), np.concatenate(self._labels)
        return mean_of(map(_determination, outputs.T, labels.T))


def _determination(outputs: Array, labels: Array) -> float:
    mean = exact_sum(labels.tolist()) / len(labels)
    spread = exact_sum(np.square(labels - mean).tolist())
    if labels.min() == labels.max() or not spread:
        return math.nan
    with np.errstate(all="ignore"):
        return 1 - exact_sum(np.square(labels - outputs).tolist()) / spread


def _errors(outputs: Array, labels: Array) -> Array:
    with np.errstate(all="ignore"):
        return outputs.astype(np.float64) - labels


METRICS_OF_NUMBERS: dict[str, Callable[[], Tally]] = {
    "mae": MeanAbsoluteError,
    "rmse": RootMeanSquaredError,
    "r2": Determination,
}
"""How each metric of numbers is made, by name."""
