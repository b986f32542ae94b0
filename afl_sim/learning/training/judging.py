"""What an evaluation measures, and the sums of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from afl_sim.learning.data.form import IGNORED
from afl_sim.learning.metrics.chosen import Makers, Measured
from afl_sim.learning.metrics.tally import Array
from afl_sim.learning.training.losses import loss_of
from afl_sim.scenario.sections.losses import Huber, Loss


@dataclass(frozen=True)
class Scores:
    """A model on held-out samples.

    Attributes:
        accuracy: share of samples classified correctly; None if accuracy is not measured.
        loss: mean loss, over what a loss takes a mean (`TaskLoss`).
        class_accuracy: the accuracy on the samples of each class; NaN for a class without any.
            Empty if the labels are no classes.
        squared_gradient_norm: ``||grad f||^2`` over all samples of the clients (`FullGradient`),
            if it is asked for.
        metrics: the other metrics by name; NaN where one is not defined.
        clients: the metrics of each client by name, accuracy among them, if they are asked for.
            Each is a tuple with a number for each client, NaN where it is not defined.
    """

    accuracy: float | None
    loss: float
    class_accuracy: tuple[float, ...]
    squared_gradient_norm: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    clients: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


class Judge:
    """What evaluations measure.

    Args:
        classes: the number of classes, or of outputs.
        loss: the scenario's ``training.loss``.
        labels: of all samples, as `loss_of` takes them.
        makers: how the metrics are made, by name.

    Attributes:
        of_classes: whether the labels are classes.
        tallied: how those metrics are made that need a tally: the accuracy of classes is counted
            by class.
    """

    def __init__(
        self, classes: int, loss: str | Huber | Loss, labels: Tensor, makers: Makers | None = None
    ) -> None:
        self.classes = classes
        self.loss = loss_of(loss, labels)
        self.makers = makers or {}
        self.of_classes = labels.dim() == 1 and not labels.is_floating_point()
        others = {n: make for n, make in self.makers.items() if n != "accuracy"}
        self.tallied = others if self.of_classes else self.makers

    def held(self, labels: Tensor) -> Tensor:
        """The samples of each class among those with these labels; empty without classes."""
        if not self.of_classes:
            return labels[:0]
        return torch.bincount(labels, minlength=self.classes)


class Counted:
    """The sums of an evaluation, batch after batch.

    Args:
        judge: what is measured.
        held: int64 (classes,): the samples of each class among all that will be added; empty if the
            labels are no classes.
    """

    def __init__(self, judge: Judge, held: Tensor) -> None:
        self._judge = judge
        self._held = held
        self._right = torch.zeros(judge.classes, dtype=torch.int64)
        self._loss, self._total = 0.0, 0.0
        self._measured = Measured.by(judge.tallied)

    def add(
        self, outputs: Tensor, targets: Tensor, labels: Tensor, counting: Tensor | None
    ) -> None:
        """Add a batch.

        Args:
            outputs: of the model.
            targets, labels: the labels where the model is, and on the CPU.
            counting: how much each sample counts in the loss; None if all count the same.
        """
        judge = self._judge
        amount = judge.loss.amount(targets, counting)
        self._loss += float(judge.loss(outputs, targets, counting)) * amount
        self._total += amount
        if judge.of_classes:
            correct = labels[outputs.argmax(1).cpu() == labels]
            self._right += torch.bincount(correct, minlength=judge.classes)
        if judge.tallied:
            self._measured.add(*counted(outputs, labels))

    def scores(self) -> Scores:
        """What was measured."""
        values = self._measured.values()
        accuracy, by_class = values.pop("accuracy", None), ()
        if self._judge.of_classes:
            total = int(self._held.sum())
            accuracy = float(self._right.sum()) / total if total else math.nan
            by_class = tuple((self._right / self._held).tolist())
        return Scores(accuracy, self._loss / (self._total or 1), by_class, None, values)


def counted(outputs: Tensor, labels: Tensor) -> tuple[Array, Array]:
    """Outputs and labels as metrics take them: of positions, those that have a label."""
    given, known = outputs.cpu().numpy(), labels.numpy()
    if labels.dim() == 2 and not labels.is_floating_point():
        there = known != IGNORED
        return given[there], known[there]
    return given, known
