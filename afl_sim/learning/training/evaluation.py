"""How good a global model is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afl_sim.learning.data.inputs import Inputs
from afl_sim.learning.metrics.chosen import Makers, Measured
from afl_sim.learning.metrics.tally import Array
from afl_sim.learning.models.local_state import runs_foreign_code
from afl_sim.learning.training.full_gradient import FullGradient
from afl_sim.learning.training.judging import Counted, Judge, Scores, counted
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.scenario.sections.losses import Huber, Loss

# A large batch takes half the time of small ones, and still little memory.
EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class ByClient:
    """The samples that each client keeps for tests.

    Attributes:
        rows: indices of the trainer's samples, client after client.
        ends: where the samples of each client end in ``rows``.
    """

    rows: Tensor
    ends: tuple[int, ...]

    @classmethod
    def of(cls, held: Sequence[npt.NDArray[np.int64]]) -> ByClient:
        """Those with these indices, for each client."""
        ends = np.cumsum([len(rows) for rows in held])
        return cls(torch.from_numpy(np.concatenate(held)), tuple(ends.tolist()))


class Evaluator:
    """Evaluates vectors on a fixed set of samples.

    Args:
        trainer: whose model object is used as scratch space.
        inputs, labels: of N samples, as for `LocalTrainer`.
        classes: the number of classes, or of outputs.
        loss: the scenario's ``training.loss``.
        gradient: computes the norm of the gradient, if it is asked for.
        metrics: how the metrics are made, by name.
        weights: float32 (N,): how much each sample counts in the loss; None if all count the same.
        clients: the samples of each client, if the metrics of each are asked for.
    """

    def __init__(
        self,
        trainer: LocalTrainer,
        inputs: Inputs,
        labels: Tensor,
        classes: int,
        loss: str | Huber | Loss,
        gradient: FullGradient | None = None,
        metrics: Makers | None = None,
        weights: Tensor | None = None,
        clients: ByClient | None = None,
    ) -> None:
        self._trainer = trainer
        self._inputs = inputs.to(trainer.device)
        self._labels = labels  # counted on the CPU, because CUDA's counting is not deterministic
        self._targets = labels.to(trainer.device)
        self._weights = None if weights is None else weights.to(trainer.device)
        self._judge = judge = Judge(classes, loss, labels, metrics)
        self._gradient = gradient
        self._clients = clients
        # A model may change its input, but every evaluation needs the same inputs.
        self._foreign = runs_foreign_code(trainer.model)
        self._copies = True
        self._held = judge.held(labels)

    def evaluate(self, vector: Tensor) -> Scores:
        """Evaluate a model given as a vector of shape (P + B,)."""
        with self._trainer.turn:
            return self._evaluate(vector)

    def _evaluate(self, vector: Tensor) -> Scores:
        self._trainer.load(vector, "evaluation.dropout")
        self._trainer.model.eval()
        found, begin = Counted(self._judge, self._held), 0
        # Not in inference mode: a tensor that the model keeps could not be used in training.
        with torch.no_grad():
            for inputs, targets, labels in zip(
                *(
                    all_of.split(EVALUATION_BATCH)
                    for all_of in (self._inputs, self._targets, self._labels)
                ),
                strict=True,
            ):
                counting = None
                if self._weights is not None:
                    counting = self._weights[begin : begin + len(labels)]
                begin += len(labels)
                found.add(self._outputs(inputs), targets, labels, counting)
            clients = {} if self._clients is None else self._of_each(self._clients)
        norm = None if self._gradient is None else self._gradient.squared_norm(vector)
        return replace(found.scores(), squared_gradient_norm=norm, clients=clients)

    def _outputs(self, inputs: Tensor) -> Tensor:
        given = inputs.clone() if self._copies else inputs
        outputs = self._trainer.outputs(given)
        if self._copies and not self._foreign:  # then one batch shows it for all
            self._copies = not torch.equal(given, inputs)
        return outputs

    def _of_each(self, clients: ByClient) -> dict[str, tuple[float, ...]]:
        """The metrics of each client by name."""
        found = [Measured.by(self._judge.makers) for _ in clients.ends]
        for client, outputs, labels in self._pieces(clients):
            found[client].add(outputs, labels)
        values = [each.values() for each in found]
        return {name: tuple(each[name] for each in values) for name in self._judge.makers}

    def _pieces(self, clients: ByClient) -> Iterator[tuple[int, Array, Array]]:
        """A client with the outputs and labels of some of its samples, one after another."""
        begin, client = 0, 0
        for rows in clients.rows.split(EVALUATION_BATCH):
            inputs, labels = self._trainer.samples(rows)
            outputs, labels = self._trainer.outputs(inputs), labels.cpu()
            inside = [end for end in clients.ends if begin < end < begin + len(rows)]
            for first, last in pairwise([begin, *sorted(set(inside)), begin + len(rows)]):
                while clients.ends[client] <= first:
                    client += 1
                piece = slice(first - begin, last - begin)
                yield client, *counted(outputs[piece], labels[piece])
            begin += len(rows)
