"""How good a global model is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from afl_sim.learning.data.inputs import Inputs
from afl_sim.learning.models.local_state import runs_foreign_code
from afl_sim.learning.training.full_gradient import FullGradient
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.losses import LOSSES

# A large batch takes half the time of small ones, and still little memory.
EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class Scores:
    """A model on held-out samples.

    Attributes:
        accuracy: share of samples classified correctly.
        loss: mean loss per sample.
        class_accuracy: the accuracy on the samples of each class; NaN for a class without any.
        squared_gradient_norm: ``||grad f||^2`` over all samples of the clients (`FullGradient`),
            if it is asked for.
    """

    accuracy: float
    loss: float
    class_accuracy: tuple[float, ...]
    squared_gradient_norm: float | None = None


class Evaluator:
    """Evaluates vectors on a fixed set of samples.

    Args:
        trainer: whose model object is used as scratch space.
        inputs: shape (N, C, H, W); labels: shape (N,).
        classes: the number of classes.
        loss: a key of `LOSSES`.
        gradient: computes the norm of the gradient, if it is asked for.
    """

    def __init__(
        self,
        trainer: LocalTrainer,
        inputs: Inputs,
        labels: Tensor,
        classes: int,
        loss: str,
        gradient: FullGradient | None = None,
    ) -> None:
        self._trainer = trainer
        self._inputs = inputs.to(trainer.device)
        self._labels = labels  # counted on the CPU, because CUDA's counting is not deterministic
        self._targets = labels.to(trainer.device)
        self._classes = classes
        self._loss = LOSSES[loss]
        self._gradient = gradient
        # A model may change its input, but every evaluation needs the same inputs.
        self._foreign = runs_foreign_code(trainer.model)
        self._copies = True
        self._per_class = torch.bincount(labels, minlength=classes)

    def evaluate(self, vector: Tensor) -> Scores:
        """Evaluate a model given as a vector of shape (P + B,)."""
        with self._trainer.turn:
            return self._evaluate(vector)

    def _evaluate(self, vector: Tensor) -> Scores:
        model = self._trainer.model
        self._trainer.load(vector, "evaluation.dropout")
        model.eval()
        right = torch.zeros(self._classes, dtype=torch.int64)
        loss = 0.0
        # Not in inference mode: a tensor that the model keeps could not be used in training.
        with torch.no_grad():
            for inputs, targets, labels in zip(
                *(
                    all_of.split(EVALUATION_BATCH)
                    for all_of in (self._inputs, self._targets, self._labels)
                ),
                strict=True,
            ):
                given = inputs.clone() if self._copies else inputs
                outputs = self._trainer.outputs(given)
                if self._copies and not self._foreign:  # then one batch shows it for all
                    self._copies = not torch.equal(given, inputs)
                loss += float(self._loss(outputs, targets)) * len(labels)
                correct = labels[outputs.argmax(1).cpu() == labels]
                right += torch.bincount(correct, minlength=self._classes)
        total = len(self._labels)
        return Scores(
            float(right.sum()) / total,
            loss / total,
            tuple((right / self._per_class).tolist()),
            None if self._gradient is None else self._gradient.squared_norm(vector),
        )
