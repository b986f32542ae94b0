"""What a run's tasks depend on, and how a trainer and an evaluator are made of it.

A recipe can be pickled, so a worker process makes the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from afl_sim.execution.runner import TaskRunner
from afl_sim.learning.data.batch_sizes import UNKNOWN, BatchSizes, batch_sizes
from afl_sim.learning.data.dataset import Dataset
from afl_sim.learning.data.datasets import open_pool, split_pool
from afl_sim.learning.data.skew import skewed
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.models.personal import TUNED, PersonalParts, parts_named, personal_parts
from afl_sim.learning.partition import GroupShare, deal, group_shares
from afl_sim.learning.training.attackers import Attackers, attackers_of, poisoned
from afl_sim.learning.training.compressors import Compressor
from afl_sim.learning.training.evaluation import EVALUATION_BATCH, Evaluator
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.personal_evaluation import PersonalEvaluator, Tuner
from afl_sim.learning.training.personalization import Personalization
from afl_sim.learning.training.public_batch import noise, of_validation
from afl_sim.learning.training.trainers import trainer_of
from afl_sim.portable.block import arithmetic_of
from afl_sim.run.bits import effective_bits
from afl_sim.run.evaluating import Held, SizedShards, choose, evaluator_of
from afl_sim.run.initial_model import new_model
from afl_sim.run.kinds import model_spec, settings_of, strategy_of, tests_own_models
from afl_sim.run.memory import batches_that_fit
from afl_sim.run.of_devices import client_speeds, measured_sizes
from afl_sim.scenario import DataSpec, Scenario
from afl_sim.scenario import Evaluation as EvaluationSettings
from afl_sim.scenario.sections.attack import Attack
from afl_sim.scenario.sections.compression import Compression
from afl_sim.scenario.sections.personalization import Ditto, FedRep
from afl_sim.strategies.inputs import Public
from afl_sim.streams import Streams


@dataclass(frozen=True)
class Recipe:
    """The part of a scenario that tasks depend on.

    Attributes:
        data, model, evaluation: the scenario's blocks. The model is plain data, since a factory of
            the user's is found by its name.
        settings: how every client trains.
        clients, seed: the scenario's.
        compression: how models and updates are compressed on their way.
        attack: which clients attack, and how; None if none do.
        speeds: of the clients, if their data depends on their speed; else empty.
        groups: of clients with data of their own; empty if there are none.
        measured: how many samples each client's device has, int64 (clients,); None if the data does
            not depend on that.
        most: the most samples that fit into a mini-batch of each client, int64 (clients,); None if
            all fit.
        personalization: the further steps of tasks, for what clients keep; None if there are none.
        own_models: whether evaluations test models of which each client has one of its own.
        public: the batch that the server and all clients have; None if there is none.
        stored: the folder of the pool's memory maps; None in the process that holds the data set.
    """

    data: DataSpec
    model: dict[str, Any]
    settings: LocalSettings
    evaluation: EvaluationSettings
    clients: int
    seed: int
    compression: Compression
    attack: Attack | None = None
    speeds: tuple[float, ...] = ()
    groups: tuple[GroupShare, ...] = ()
    measured: npt.NDArray[np.int64] | None = None
    most: npt.NDArray[np.int64] | None = None
    personalization: FedRep | Ditto | None = None
    own_models: bool = False
    public: Public | None = None
    stored: Path | None = None


def recipe_of(scenario: Scenario) -> Recipe:
    """The recipe of a scenario's tasks."""
    return Recipe(
        scenario.data,
        scenario.model.model_dump(by_alias=True),
        settings_of(scenario, effective_bits(scenario).portable),
        scenario.evaluation,
        scenario.clients.count,
        scenario.seed,
        scenario.training.compression,
        scenario.clients.attack,
        client_speeds(scenario),
        group_shares(scenario.clients, Streams(scenario.seed)),
        measured_sizes(scenario),
        batches_that_fit(scenario),
        scenario.training.personalization,
        tests_own_models(scenario),
        strategy_of(scenario).public_batch,
    )


def compressor_of(recipe: Recipe) -> Compressor | None:
    """What compresses models and updates; None if nothing is compressed."""
    if recipe.compression == Compression():
        return None
    return Compressor(recipe.compression, Streams(recipe.seed), recipe.settings.gradient)


def attackers_in(recipe: Recipe) -> Attackers | None:
    """The clients that attack, and what they send; None if none do."""
    if recipe.attack is None:
        return None
    streams = Streams(recipe.seed)
    members = attackers_of(recipe.attack, recipe.clients, streams)
    return Attackers(recipe.attack, members, streams, recipe.settings.gradient)


class Built(NamedTuple):
    """What does the tasks of a run."""

    trainer: LocalTrainer
    evaluator: Evaluator | PersonalEvaluator
    personalization: Personalization | None


def build_runner(
    recipe: Recipe, dataset: Dataset, partition: SizedShards, testing: SizedShards | None = None
) -> Built:
    """Make the trainer and the evaluator of a run, in the run's arithmetic.

    Args:
        recipe: the run's.
        dataset: the samples.
        partition: the samples that each client trains on.
        testing: the samples that each client keeps for tests, if any.
    """
    streams = Streams(recipe.seed)
    held = Held(recipe.clients, partition, testing)
    chosen = choose(recipe.evaluation, dataset, held, streams)
    sizes = UNKNOWN
    spec = model_spec(recipe.model)
    if spec.tried or spec.changed:  # others do not depend on the batch size
        sizes = _batch_sizes(recipe, held, len(chosen.labels))
    taught = dataset.labels
    attackers = attackers_in(recipe)
    if attackers is not None:
        taught = poisoned(
            attackers.spec,
            attackers.members,
            taught,
            dataset.form.outputs,
            partition.indices,
            recipe.clients,
        )
    with arithmetic_of(recipe.settings.portable):
        model = new_model(recipe.model, recipe.data, streams)
        personalization = _personalization(recipe, model)
        tuned = _tuned(recipe, model)
        trainer = trainer_of(
            model,
            dataset.inputs,
            taught,
            partition,
            streams,
            recipe.settings,
            sizes,
            dataset.weights,
        )
        trainer.limit_batches(recipe.most)
        if recipe.public is not None:
            made = of_validation if recipe.public.source == "validation" else noise
            trainer.use_public(made(dataset, recipe.public.samples, streams))
    tuning = recipe.evaluation.fine_tuning
    tuner = None if tuning is None else Tuner(trainer, tuning, tuned)
    evaluator = evaluator_of(
        recipe.evaluation, dataset, held, chosen, trainer, personalization, tuner
    )
    return Built(trainer, evaluator, personalization)


def _personalization(recipe: Recipe, model: nn.Module) -> Personalization | None:
    """What clients keep of a model, which is as it was built; None if they keep nothing."""
    layout, spec = ParameterVector(model), recipe.personalization
    parts = personal_parts(model, layout, model_spec(recipe.model).kept_by_clients)
    initial = layout.read(model)
    if parts is not None:
        return Personalization(parts, parts.split(initial)[1], spec)
    return Personalization(None, initial, spec) if isinstance(spec, Ditto) else None


def _tuned(recipe: Recipe, model: nn.Module) -> PersonalParts | None:
    """The parts of a model, which is as it was built, that fine-tuning changes; None if all."""
    tuning = recipe.evaluation.fine_tuning
    if tuning is None or tuning.parameters is None:
        return None
    return parts_named(model, ParameterVector(model), tuning.parameters, TUNED)


def _batch_sizes(recipe: Recipe, held: Held, evaluated: int) -> BatchSizes:
    """The sizes of the batches that a recipe's model gets.

    Args:
        recipe: the run's.
        held: who holds which samples.
        evaluated: number of samples that an evaluation uses.
    """
    settings, evaluation = recipe.settings, recipe.evaluation
    training, testing = held.training.sizes, held.testing
    trained = batch_sizes(training, settings.batch_size, settings.drop_last, recipe.most)
    totals = [evaluated]
    if recipe.public is not None:
        totals.append(recipe.public.samples)
    if evaluation.squared_gradient_norm:
        totals.append(int(training.sum()))
    if evaluation.per_client and testing is not None:
        totals.append(int(testing.sizes.sum()))
    if recipe.own_models:  # each is tested on the samples of its client alone
        if evaluation.on == "client_train":
            totals += set(training.tolist())
        if testing is not None:
            totals += set(testing.sizes.tolist())
    parts = {min(EVALUATION_BATCH, total) for total in totals}
    rests = {total % EVALUATION_BATCH for total in totals}
    return BatchSizes(tuple(trained), tuple(sorted((parts | rests) - {0})))


def worker_runner(recipe: Recipe) -> TaskRunner:
    """Make a worker process's `TaskRunner`, with the data that another process has stored.

    Raises:
        DataError: the stored data is gone.
    """
    assert recipe.stored is not None
    pool = open_pool(recipe.data, recipe.stored)
    streams = Streams(recipe.seed)
    rows, held_out = split_pool(len(pool.labels), recipe.data.validation, streams)
    samples = pool.annotations.of(rows)
    dealt = deal(
        recipe.data,
        samples,
        recipe.clients,
        recipe.speeds,
        streams,
        recipe.groups,
        recipe.measured,
    )
    pool = skewed(pool, recipe.data, lambda c: rows[dealt.held(c)], recipe.clients, streams)
    training: SizedShards = dealt.training
    testing: SizedShards | None = dealt.testing
    if len(held_out):
        # The pool stays whole, so that processes share it; the clients' indices are mapped instead.
        aside = torch.from_numpy(held_out)
        pool = replace(
            pool, validation_inputs=pool.inputs[aside], validation_labels=pool.labels[aside]
        )
        training = _Rows(training, rows)
        testing = None if testing is None else _Rows(testing, rows)
    built = build_runner(recipe, pool, training, testing)
    return TaskRunner(
        built.trainer,
        built.evaluator,
        compressor_of(recipe),
        recipe.settings.portable,
        attackers_in(recipe),
        built.personalization,
    )


@dataclass(frozen=True)
class _Rows:
    """A partition of some rows of a pool, as a partition of the whole pool."""

    partition: SizedShards
    rows: npt.NDArray[np.int64]

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        return self.partition.sizes

    def indices(self, client: int) -> npt.NDArray[np.int64]:
        return self.rows[self.partition.indices(client)]
