"""The metrics of a run: chosen by the scenario, or by the form of the labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from afl_sim.errors import TaskError
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.metrics.of_numbers import METRICS_OF_NUMBERS
from afl_sim.learning.metrics.of_several import metrics_of_several
from afl_sim.learning.metrics.tally import Array, Tally
from afl_sim.scenario.sections.evaluation import Evaluation
from afl_sim.scenario.sections.metrics import BY_FORM, Metric, metric_name

Makers = dict[str, Callable[[], Tally]]


def chosen_metrics(evaluation: Evaluation, form: SampleForm) -> tuple[str | Metric, ...]:
    """The metrics that a run's evaluations measure; the first one is drawn.

    The accuracy of classes is always among them.
    """
    chosen = evaluation.metrics_of(BY_FORM[form.target])
    if form.target == "class" and "accuracy" not in chosen:
        chosen = (*chosen, "accuracy")
    return chosen


def targets_of(evaluation: Evaluation, form: SampleForm) -> Mapping[str, Sequence[float]]:
    """The targets by metric; the default ones, which are of accuracy, are for classes."""
    if form.target == "class" or evaluation.has_own_targets:
        return evaluation.targets_by_metric
    return {}


def makers_of(metrics: Sequence[str | Metric], form: SampleForm) -> Makers:
    """How each of these metrics is made, by name, in order; they fit the form."""
    if form.target == "number":
        built_in: Makers = METRICS_OF_NUMBERS
    elif form.target == "several":
        built_in = metrics_of_several(form.outputs)
    else:
        from afl_sim.learning.metrics.of_classes import metrics_of_classes  # it computes tables

        built_in = metrics_of_classes(form.outputs)
    return {
        metric_name(metric): built_in[metric] if isinstance(metric, str) else partial(Own, metric)
        for metric in metrics
    }


class Own:
    """A metric of the user's own, which is given all samples at once.

    Args:
        metric: the scenario's.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._outputs: list[Array] = []
        self._labels: list[Array] = []

    def add(self, outputs: Array, labels: Array) -> None:
        self._outputs.append(outputs.copy())
        self._labels.append(labels)

    def value(self) -> float:
        """The metric; NaN without samples.

        Raises:
            TaskError: it gives something else than a number.
            Exception: whatever the metric raises.
        """
        if not self._labels:
            return math.nan
        outputs, labels = np.concatenate(self._outputs), np.concatenate(self._labels)
        for array in (outputs, labels):
            array.setflags(write=False)
        value: Any = self._metric(outputs, labels)
        try:
            if np.size(value) != 1 or isinstance(value, str):
                raise TypeError
            return float(value)
        except (TypeError, ValueError):
            shape = getattr(value, "shape", None)
            of = f" of shape {tuple(shape)}" if shape is not None else ""
            raise TaskError(
                f"evaluation.metrics: {self._metric.kind} returns a {type(value).__name__}{of}; "
                "expected a number"
            ) from None


@dataclass(frozen=True)
class Measured:
    """Tallies of one set of samples.

    Attributes:
        tallies: by name.
    """

    tallies: dict[str, Tally]

    @classmethod
    def by(cls, makers: Makers) -> Measured:
        """Tallies without samples."""
        return cls({name: make() for name, make in makers.items()})

    def add(self, outputs: Array, labels: Array) -> None:
        """Give a batch to each of them."""
        for tally in self.tallies.values():
            tally.add(outputs, labels)

    def values(self) -> dict[str, float]:
        """The values by name; NaN where one is not defined."""
        return {name: tally.value() for name, tally in self.tallies.items()}
