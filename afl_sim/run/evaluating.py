"""What a run's evaluations test: on which samples, and which models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afl_sim.learning.data.dataset import Dataset
from afl_sim.learning.data.inputs import Inputs
from afl_sim.learning.metrics.chosen import chosen_metrics, makers_of
from afl_sim.learning.training.evaluation import ByClient, Evaluator
from afl_sim.learning.training.full_gradient import FullGradient
from afl_sim.learning.training.judging import Judge
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.own_models import OwnModels, Tested
from afl_sim.learning.training.personal_evaluation import PersonalEvaluator, Tuner
from afl_sim.learning.training.personalization import Personalization
from afl_sim.learning.training.task_draws import Shards
from afl_sim.scenario import Evaluation
from afl_sim.streams import Streams


class SizedShards(Shards, Protocol):
    """Which samples a client holds, and how many."""

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Samples of each client, shape (clients,)."""


@dataclass(frozen=True)
class Held:
    """Who holds which samples.

    Attributes:
        clients: their number.
        training: the samples that each client trains on.
        testing: the samples that each client keeps for tests, if any.
    """

    clients: int
    training: SizedShards
    testing: SizedShards | None = None

    def on(self, name: str) -> SizedShards | None:
        """The samples that ``evaluation.on`` names, if clients hold them."""
        return {"client_test": self.testing, "client_train": self.training}.get(name)

    def of_each(self, shards: SizedShards) -> list[npt.NDArray[np.int64]]:
        """The indices of each client's samples."""
        return [shards.indices(client) for client in range(self.clients)]


@dataclass(frozen=True)
class Chosen:
    """The samples of an evaluation.

    Attributes:
        inputs, labels: of N samples.
        weights: float32 (N,): how much each counts in the loss; None if all count the same.
        rows: int64 (N,): their indices among the samples of the clients, if they are theirs.
        whole: whether they are all that ``evaluation.on`` names.
    """

    inputs: Inputs
    labels: Tensor
    weights: Tensor | None = None
    rows: Tensor | None = None
    whole: bool = True


def choose(settings: Evaluation, dataset: Dataset, held: Held, streams: Streams) -> Chosen:
    """The samples that evaluations use."""
    shards, weights, rows = held.on(settings.on), None, None
    if shards is not None:
        rows = torch.from_numpy(np.sort(np.concatenate(held.of_each(shards))))  # as in the files
        inputs, labels = dataset.inputs[rows], dataset.labels[rows]
        weights = None if dataset.weights is None else dataset.weights[rows]
    elif settings.on == "validation":
        inputs, labels = dataset.validation_inputs, dataset.validation_labels
    else:
        inputs, labels = dataset.test_inputs, dataset.test_labels
    if settings.samples is None or settings.samples >= len(labels):
        return Chosen(inputs, labels, weights, rows)
    order = streams.generator("evaluation").permutation(len(labels))
    subset = torch.from_numpy(np.sort(order[: settings.samples]))
    return Chosen(
        inputs[subset],
        labels[subset],
        None if weights is None else weights[subset],
        None if rows is None else rows[subset],
        whole=False,
    )


def evaluator_of(
    settings: Evaluation,
    dataset: Dataset,
    held: Held,
    chosen: Chosen,
    trainer: LocalTrainer,
    personalization: Personalization | None,
    tuner: Tuner | None,
) -> Evaluator | PersonalEvaluator:
    """What does a run's evaluations.

    Args:
        settings: the scenario's ``evaluation``.
        dataset: the samples.
        held: who holds which of them.
        chosen: the samples of an evaluation.
        trainer: whose model object is used as scratch space.
        personalization: what clients keep of a model; None if they keep nothing.
        tuner: fine-tunes models before they are tested; None if none are.
    """
    metrics = makers_of(chosen_metrics(settings, dataset.form), dataset.form)
    outputs, loss = dataset.form.outputs, trainer.settings.loss
    own = None if held.testing is None else held.of_each(held.testing)
    each = own if settings.per_client else None
    judge = Judge(outputs, loss, dataset.labels, metrics)
    common: Evaluator | OwnModels
    if personalization is None or personalization.parts is None:
        gradient = None
        if settings.squared_gradient_norm:
            gradient = FullGradient(trainer, held.training, held.clients)
        clients = None if each is None else ByClient.of(each)
        given = chosen.inputs, chosen.labels, outputs, loss
        common = Evaluator(trainer, *given, gradient, metrics, chosen.weights, clients)
        if personalization is None and tuner is None:
            return common
    else:
        shards = held.on(settings.on)
        assert shards is not None
        among = None if chosen.whole or chosen.rows is None else chosen.rows.numpy()
        tested = Tested.of(held.of_each(shards), dataset.labels, among)
        further = None
        if each is not None:
            same = chosen.whole and shards is held.testing
            further = tested if same else Tested.of(each, dataset.labels)
        common = OwnModels(trainer, judge, tested, further)
    personal = None
    if tuner is not None or isinstance(common, Evaluator):
        assert own is not None
        tested = Tested.of(own, dataset.labels)
        personal = OwnModels(trainer, judge, tested, None if each is None else tested)
    return PersonalEvaluator(common, personalization, personal, tuner)
