"""What a run's tasks depend on, and how a trainer and an evaluator are made of it.

A recipe can be pickled, so a worker process makes the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from afl_sim.execution.runner import TaskRunner
from afl_sim.learning.data.batch_sizes import UNKNOWN, BatchSizes, batch_sizes
from afl_sim.learning.data.dataset import Dataset
from afl_sim.learning.data.datasets import open_pool, split_pool
from afl_sim.learning.data.skew import skewed
from afl_sim.learning.metrics.chosen import chosen_metrics, makers_of
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.models.personal import personal_parts
from afl_sim.learning.partition import deal
from afl_sim.learning.training.attackers import Attackers, attackers_of, poisoned
from afl_sim.learning.training.compressors import Compressor
from afl_sim.learning.training.evaluation import EVALUATION_BATCH, ByClient, Evaluator
from afl_sim.learning.training.full_gradient import FullGradient
from afl_sim.learning.training.judging import Judge
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer, Shards
from afl_sim.learning.training.own_models import OwnModels, Tested
from afl_sim.learning.training.personalization import Personalization
from afl_sim.learning.training.trainers import trainer_of
from afl_sim.portable.block import arithmetic_of
from afl_sim.run.bits import effective_bits
from afl_sim.run.initial_model import model_spec, new_model
from afl_sim.run.kinds import settings_of
from afl_sim.scenario import DataSpec, Scenario
from afl_sim.scenario import Evaluation as EvaluationSettings
from afl_sim.scenario.sections.attack import Attack
from afl_sim.scenario.sections.compression import Compression
from afl_sim.streams import Streams
from afl_sim.world.clients.devices import speeds


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
    )


def client_speeds(scenario: Scenario) -> tuple[float, ...]:
    """The speed of every client, if the clients' data depends on it; else nothing."""
    if scenario.data.speed_correlation is None:
        return ()
    return speeds(scenario.clients, Streams(scenario.seed))


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


class _SizedShards(Shards, Protocol):
    """Which samples a client holds, and how many."""

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Samples of each client, shape (clients,)."""


class Built(NamedTuple):
    """What does the tasks of a run."""

    trainer: LocalTrainer
    evaluator: Evaluator | OwnModels
    personalization: Personalization | None


def build_runner(
    recipe: Recipe, dataset: Dataset, partition: _SizedShards, testing: _SizedShards | None = None
) -> Built:
    """Make the trainer and the evaluator of a run, in the run's arithmetic.

    Args:
        recipe: the run's.
        dataset: the samples.
        partition: the samples that each client trains on.
        testing: the samples that each client keeps for tests, if any.
    """
    streams = Streams(recipe.seed)
    chosen = recipe.evaluation
    shards = {"client_test": testing, "client_train": partition}.get(chosen.on)
    everybody = range(recipe.clients)
    weights, subset = None, None
    if shards is not None:
        held = [shards.indices(client) for client in everybody]
        rows = torch.from_numpy(np.sort(np.concatenate(held)))  # in the order of the files
        inputs, labels = dataset.inputs[rows], dataset.labels[rows]
        weights = None if dataset.weights is None else dataset.weights[rows]
    elif chosen.on == "validation":
        inputs, labels = dataset.validation_inputs, dataset.validation_labels
    else:
        inputs, labels = dataset.test_inputs, dataset.test_labels
    if chosen.samples is not None and chosen.samples < len(labels):
        order = streams.generator("evaluation").permutation(len(labels))
        subset = torch.from_numpy(np.sort(order[: chosen.samples]))
        inputs, labels = inputs[subset], labels[subset]
        weights = None if weights is None else weights[subset]
    sizes = UNKNOWN
    spec = model_spec(recipe.model)
    if spec.tried or spec.changed:  # others do not depend on the batch size
        sizes = _batch_sizes(recipe, partition.sizes, len(labels), testing)
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
    metrics = makers_of(chosen_metrics(chosen, dataset.form), dataset.form)
    if personalization is not None:
        assert shards is not None
        among = None if subset is None else rows.numpy()[subset.numpy()]
        tested = Tested.of([shards.indices(c) for c in everybody], dataset.labels, among)
        each = None
        if chosen.per_client and testing is not None:
            each = tested
            if among is not None or shards is not testing:
                each = Tested.of([testing.indices(c) for c in everybody], dataset.labels)
        judge = Judge(dataset.form.outputs, recipe.settings.loss, dataset.labels, metrics)
        own = OwnModels(trainer, judge, personalization, tested, each)
        return Built(trainer, own, personalization)
    gradient = None
    if chosen.squared_gradient_norm:
        gradient = FullGradient(trainer, partition, recipe.clients)
    clients = None
    if chosen.per_client and testing is not None:
        clients = ByClient.of([testing.indices(client) for client in everybody])
    evaluator = Evaluator(
        trainer,
        inputs,
        labels,
        dataset.form.outputs,
        recipe.settings.loss,
        gradient,
        metrics,
        weights,
        clients,
    )
    return Built(trainer, evaluator, None)


def _personalization(recipe: Recipe, model: nn.Module) -> Personalization | None:
    """What clients keep of a model, which is as it was built; None if they keep nothing."""
    layout = ParameterVector(model)
    parts = personal_parts(model, layout, model_spec(recipe.model).kept_by_clients)
    return None if parts is None else Personalization(parts, parts.split(layout.read(model))[1])


def _batch_sizes(
    recipe: Recipe, held: npt.NDArray[np.int64], evaluated: int, testing: _SizedShards | None
) -> BatchSizes:
    """The sizes of the batches that a recipe's model gets.

    Args:
        recipe: the run's.
        held: samples of each client.
        evaluated: number of samples that an evaluation uses.
        testing: the samples that each client keeps for tests, if any.
    """
    settings = recipe.settings
    trained = batch_sizes(held, settings.batch_size, settings.drop_last)
    totals = [evaluated]
    if recipe.evaluation.squared_gradient_norm:
        totals.append(int(held.sum()))
    if recipe.evaluation.per_client and testing is not None:
        totals.append(int(testing.sizes.sum()))
    if model_spec(recipe.model).kept_by_clients is not None:  # each client has its own model
        if recipe.evaluation.on == "client_train":
            totals += set(held.tolist())
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
    dealt = deal(recipe.data, samples, recipe.clients, recipe.speeds, streams)
    pool = skewed(pool, recipe.data, lambda c: rows[dealt.held(c)], recipe.clients, streams)
    training: _SizedShards = dealt.training
    testing: _SizedShards | None = dealt.testing
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

    partition: _SizedShards
    rows: npt.NDArray[np.int64]

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        return self.partition.sizes

    def indices(self, client: int) -> npt.NDArray[np.int64]:
        return self.rows[self.partition.indices(client)]
