"""Metrics of samples that have any number of labels; predicted are those with a logit above 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from afl_sim.learning.metrics.ranks import area_under_roc
from afl_sim.learning.metrics.tally import Array, Tally, mean_of


class Decisions:
    """Share of right decisions whether a sample has a label."""

    def __init__(self) -> None:
        self._right = self._all = 0

    def add(self, outputs: Array, labels: Array) -> None:
        self._right += int(np.count_nonzero((outputs > 0) == (labels > 0)))
        self._all += labels.size

    def value(self) -> float:
        return self._right / self._all if self._all else math.nan


class F1OfSeveral:
    """Mean F1 score of the labels that occur.

    Args:
        labels: number of labels.
    """

    def __init__(self, labels: int) -> None:
        self._right, self._labelled, self._predicted = np.zeros((3, labels), dtype=np.int64)

    def add(self, outputs: Array, labels: Array) -> None:
        predicted, there = outputs > 0, labels > 0
        self._right += (predicted & there).sum(0)
        self._labelled += there.sum(0)
        self._predicted += predicted.sum(0)

    def value(self) -> float:
        present = self._labelled > 0
        both = (self._labelled + self._predicted)[present]
        return mean_of((2 * self._right[present] / both).tolist())


class AreaOfSeveral:
    """Mean area under the ROC curve of the labels that some samples have and others do not."""

    def __init__(self) -> None:
        self._scores: list[Array] = []
        self._labels: list[Array] = []

    def add(self, outputs: Array, labels: Array) -> None:
        self._scores.append(outputs.copy())
        self._labels.append(labels > 0)

    def value(self) -> float:
        if not self._labels:
            return math.nan
        scores, labels = np.concatenate(self._scores), np.concatenate(self._labels)
        return mean_of(map(area_under_roc, scores.T, labels.T))


def metrics_of_several(labels: int) -> dict[str, Callable[[], Tally]]:
    """How each metric of several labels is made, by name."""
    return {
        "accuracy": Decisions,
        "f1_macro": partial(F1OfSeveral, labels),
        "auc": AreaOfSeveral,
    }
