"""Metrics of outputs of which the largest is the predicted class."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from afl_sim.learning.metrics.ranks import area_under_roc
from afl_sim.learning.metrics.tally import Array, Ints, Tally, Values, mean_of
from afl_sim.portable import elementary as e

_TOP = 5
_BINS = 15


class Accuracy:
    """Share of samples whose label has the largest output."""

    def __init__(self) -> None:
        self._right = self._all = 0

    def add(self, outputs: Array, labels: Array) -> None:
        self._right += int(np.count_nonzero(outputs.argmax(1) == labels))
        self._all += len(labels)

    def value(self) -> float:
        return self._right / self._all if self._all else math.nan


class Top:
    """Share of samples whose label is among the five largest outputs; of equal ones the first."""

    def __init__(self) -> None:
        self._right = self._all = 0

    def add(self, outputs: Array, labels: Array) -> None:
        rows, own = np.arange(len(labels)), labels[:, None]
        chosen = outputs[rows, labels][:, None]
        before = np.arange(outputs.shape[1]) < own
        ahead = (outputs > chosen) | ((outputs == chosen) & before)
        self._right += int(np.count_nonzero(ahead.sum(1) < _TOP))
        self._all += len(labels)

    def value(self) -> float:
        return self._right / self._all if self._all else math.nan


class Confusion:
    """How often each class was taken for each other; a model may have more outputs than classes.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        self._right = np.zeros(classes, dtype=np.int64)
        self._labelled = np.zeros(classes, dtype=np.int64)
        self._predicted = np.zeros(classes, dtype=np.int64)

    def add(self, outputs: Array, labels: Array) -> None:
        classes = len(self._right)
        predicted: Ints = outputs.argmax(1)
        self._labelled += np.bincount(labels, minlength=classes)
        self._predicted += np.bincount(predicted, minlength=classes)[:classes]
        self._right += np.bincount(labels[predicted == labels], minlength=classes)

    def recalls(self) -> list[float]:
        """For each class that occurs, the share of its samples that were recognised."""
        present = self._labelled > 0
        shares: list[float] = (self._right[present] / self._labelled[present]).tolist()
        return shares

    def scores(self) -> list[float]:
        """For each class that occurs, its F1 score."""
        present = self._labelled > 0
        both = (self._labelled + self._predicted)[present]
        scores: list[float] = (2 * self._right[present] / both).tolist()
        return scores


class F1(Confusion):
    """Mean F1 score of the classes that occur."""

    def value(self) -> float:
        return mean_of(self.scores())


class Balanced(Confusion):
    """Mean accuracy of the classes that occur."""

    def value(self) -> float:
        return mean_of(self.recalls())


class Perplexity:
    """exp of the mean negative log-likelihood of the labels, by the softmax of the outputs."""

    def __init__(self) -> None:
        self._losses = Values()

    def add(self, outputs: Array, labels: Array) -> None:
        self._losses.add(-_log_softmax(outputs)[np.arange(len(labels)), labels])

    def value(self) -> float:
        mean = self._losses.mean()
        return float(_exp(mean)) if mean == mean else mean


class CalibrationError:
    """Expected calibration error: by how much confidence differs from accuracy, on average.

    The confidence is the largest probability, by the softmax of the outputs. Samples are put into
    15 bins of equal width by their confidence.
    """

    def __init__(self) -> None:
        self._confidences = [Values() for _ in range(_BINS)]
        self._right = np.zeros(_BINS, dtype=np.int64)

    def add(self, outputs: Array, labels: Array) -> None:
        with e.ignoring_errors():
            confidence = e.softmax64(outputs.astype(np.float64), 1).max(1)
        confidence = np.nan_to_num(confidence, nan=1.0)
        bins = np.clip(np.ceil(confidence * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
        right = outputs.argmax(1) == labels
        self._right += np.bincount(bins[right], minlength=_BINS)
        for number in np.unique(bins):
            self._confidences[number].add(confidence[bins == number])

    def value(self) -> float:
        total = sum(map(len, self._confidences))
        gaps = [
            abs(int(right) - values.sum())
            for right, values in zip(self._right, self._confidences, strict=True)
        ]
        return math.fsum(gaps) / total if total else math.nan


class AreaUnderRoc:
    """Mean area under the ROC curve of each class against the rest, by the softmax of the outputs.

    A class counts if some samples have it and others do not.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._scores: list[Array] = []
        self._labels: list[Array] = []

    def add(self, outputs: Array, labels: Array) -> None:
        self._scores.append(_log_softmax(outputs)[:, : self._classes])
        self._labels.append(labels)

    def value(self) -> float:
        if not self._labels:
            return math.nan
        scores, labels = np.concatenate(self._scores), np.concatenate(self._labels)
        present = np.unique(labels).tolist()
        return mean_of(area_under_roc(scores[:, name], labels == name) for name in present)


def _log_softmax(outputs: Array) -> Array:
    with e.ignoring_errors():
        return e.log_softmax64(outputs.astype(np.float64), 1)


def _exp(number: float) -> float:
    with e.ignoring_errors():
        return float(e.exp64(np.array([number]))[0])


def metrics_of_classes(classes: int) -> dict[str, Callable[[], Tally]]:
    """How each metric of classes is made, by name."""
    return {
        "accuracy": Accuracy,
        "top5": Top,
        "f1_macro": partial(F1, classes),
        "balanced_accuracy": partial(Balanced, classes),
        "auc": partial(AreaUnderRoc, classes),
        "ece": CalibrationError,
        "perplexity": Perplexity,
    }
