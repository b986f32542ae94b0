"""How good the clients' own models are, each on samples of its own client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afl_sim.learning.metrics.chosen import Measured
from afl_sim.learning.training.evaluation import EVALUATION_BATCH
from afl_sim.learning.training.judging import Counted, Judge, Scores, counted
from afl_sim.learning.training.local_training import LocalTrainer

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tested:
    """The samples on which the clients' models are tested.

    Attributes:
        rows: of each client, int64 indices of the trainer's samples.
        labels: the true labels of all samples of the trainer.
    """

    rows: Sequence[Tensor]
    labels: Tensor

    @classmethod
    def of(cls, held: Sequence[Ints], labels: Tensor, among: Ints | None = None) -> Tested:
        """Those with these indices, for each client; only those ``among`` others, if given."""
        if among is not None:
            held = [rows[np.isin(rows, among)] for rows in held]
        return cls([torch.tensor(rows) for rows in held], labels)


class OwnModels:
    """Tests models of which each client has one of its own.

    A measure is over the samples of all clients, each predicted by the model of its client.

    Args:
        trainer: whose model object is used as scratch space.
        judge: what is measured.
        tested: on which samples.
        each: the samples for the metrics of each client, if they are asked for.
    """

    def __init__(
        self, trainer: LocalTrainer, judge: Judge, tested: Tested, each: Tested | None = None
    ) -> None:
        self._trainer = trainer
        self._judge = judge
        self._tested = tested
        self._each = each
        self._held = judge.held(tested.labels[torch.cat(list(tested.rows))])

    def scores(self, model: Callable[[int], Tensor]) -> Scores:
        """Test the clients' models.

        Args:
            model: gives a client's model as a whole vector.
        """
        with self._trainer.turn:
            return self._scores(model)

    def _scores(self, model: Callable[[int], Tensor]) -> Scores:
        judge, trainer = self._judge, self._trainer
        found = Counted(judge, self._held)
        own = [] if self._each is None else [Measured.by(judge.makers) for _ in self._each.rows]
        for client, rows in enumerate(self._tested.rows):
            further = self._further(client)
            if not len(rows) and not len(further):
                continue
            vector = model(client)
            trainer.load(vector, "evaluation.dropout", client)
            trainer.model.eval()
            with torch.no_grad():
                for batch in _batches(rows):
                    outputs, labels = self._outputs(batch), self._tested.labels[batch]
                    targets = labels.to(trainer.device)
                    found.add(outputs, targets, labels, trainer.weights_of(batch))
                    if self._each is self._tested:
                        own[client].add(*counted(outputs, labels))
                for batch in _batches(further):
                    assert self._each is not None
                    own[client].add(*counted(self._outputs(batch), self._each.labels[batch]))
        values = [each.values() for each in own]
        names = judge.makers if own else ()
        clients = {name: tuple(each[name] for each in values) for name in names}
        return replace(found.scores(), clients=clients)

    def _further(self, client: int) -> Tensor:
        """Samples that count for the client alone."""
        if self._each is None or self._each is self._tested:
            return torch.empty(0, dtype=torch.int64)
        return self._each.rows[client]

    def _outputs(self, batch: Tensor) -> Tensor:
        inputs, _ = self._trainer.samples(batch)
        return self._trainer.outputs(inputs)


def _batches(rows: Tensor) -> Sequence[Tensor]:
    return rows.split(EVALUATION_BATCH) if len(rows) else ()
