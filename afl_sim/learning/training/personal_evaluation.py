"""Evaluations in which clients have models of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from afl_sim.learning.models.personal import PersonalParts
from afl_sim.learning.training.evaluation import Evaluator
from afl_sim.learning.training.judging import Scores
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.own_models import OwnModels
from afl_sim.learning.training.personalization import Personalization
from afl_sim.learning.training.phase import Phase
from afl_sim.scenario.sections.metrics import LOSS, PERSONAL
from afl_sim.scenario.sections.personalization import FineTuning

_PURPOSE = "fine_tuning"


@dataclass(frozen=True)
class Tuner:
    """Fine-tunes models for an evaluation.

    Attributes:
        trainer: does the steps.
        spec: the scenario's ``evaluation.fine_tuning``.
        parts: those that change, as the personal parts; None if all do.
    """

    trainer: LocalTrainer
    spec: FineTuning
    parts: PersonalParts | None = None

    def tuned(self, client: int, version: int, model: Tensor) -> Tensor:
        """A model after fine-tuning on a client's samples.

        Args:
            client, version: the client, and the version of the global model; they address the
                randomness.
            model: a whole vector; it is not changed.
        """
        trainer, parts = self.trainer, self.parts
        optimizer = trainer.settings.optimizer
        if self.spec.lr is not None:
            optimizer = optimizer.model_copy(update={"lr": self.spec.lr})
        trained = None if parts is None else parts.personal_parameters
        phase = Phase(_PURPOSE, trained, proximal=0.0, optimizer=optimizer)
        steps = self.spec.steps_of(trainer.batches_in_pass(client))
        anchor = model[: trainer.layout.num_parameters]
        end = trainer.train(client, version, steps, model, anchor, 1.0, None, phase).vector
        return end if parts is None else parts.join(parts.split(model)[0], parts.split(end)[1])


@dataclass(frozen=True)
class PersonalEvaluator:
    """Evaluates a run in which clients have models of their own.

    Attributes:
        common: evaluates the global model; or, where each client keeps parts of it, the models that
            these make of it.
        personalization: what clients keep; None if they keep nothing.
        personal: tests the personalised models beside; None if there are no others.
        tuner: makes the personalised models; None if clients keep them whole.
    """

    common: Evaluator | OwnModels
    personalization: Personalization | None = None
    personal: OwnModels | None = None
    tuner: Tuner | None = None

    def evaluate(self, vector: Tensor, kept: Mapping[int, Tensor], version: int) -> Scores:
        """Evaluate all models.

        Args:
            vector: shape (P + B,): the global model.
            kept: what clients have kept, shape (Q,); the others have the initial values.
            version: of the global model.
        """
        own = self._own(vector, kept)
        if isinstance(self.common, Evaluator):
            scores = self.common.evaluate(vector)
        else:
            scores = self.common.scores(own)
        if self.personal is None:
            return scores
        tuner = self.tuner
        if tuner is None:
            return with_personal(scores, self.personal.scores(own))
        return with_personal(
            scores, self.personal.scores(lambda client: tuner.tuned(client, version, own(client)))
        )

    def _own(self, vector: Tensor, kept: Mapping[int, Tensor]) -> Callable[[int], Tensor]:
        """The model of each client."""
        made = self.personalization
        if made is None:
            return lambda client: vector
        return lambda client: made.model(vector, kept.get(client, made.initial))


def with_personal(scores: Scores, personal: Scores) -> Scores:
    """The scores of an evaluation, with those of personalised models under names of their own."""
    accuracy = {} if personal.accuracy is None else {"accuracy": personal.accuracy}
    found = {**accuracy, **personal.metrics, LOSS: personal.loss}
    clients = {f"{PERSONAL}{name}": values for name, values in personal.clients.items()}
    return replace(
        scores,
        metrics={**scores.metrics, **{f"{PERSONAL}{name}": v for name, v in found.items()}},
        clients={**scores.clients, **clients},
    )
