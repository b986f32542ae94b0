"""Everything a run needs before its clock starts: data, partition, initial model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afl_sim.errors import DataError, ScenarioError
from afl_sim.execution.runner import TaskRunner
from afl_sim.learning.data.batch_sizes import UNKNOWN, BatchSizes, batch_sizes
from afl_sim.learning.data.datasets import (
    Dataset,
    load_dataset,
    load_labels,
    open_pool,
    split_pool,
)
from afl_sim.learning.models.built_in import MODELS
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.partition.client_split import Dealt, deal
from afl_sim.learning.partition.partition import Partition
from afl_sim.learning.training.compressors import Compressor
from afl_sim.learning.training.evaluation import EVALUATION_BATCH, Evaluator
from afl_sim.learning.training.full_gradient import FullGradient
from afl_sim.learning.training.local_training import LocalSettings, LocalTrainer, Shards
from afl_sim.run.initial_model import (
    check_batching,
    demands_of,
    initial_model,
    new_model,
    one_at_a_time,
)
from afl_sim.scenario import DataSpec, Scenario
from afl_sim.scenario import Evaluation as EvaluationSettings
from afl_sim.scenario.sections.compression import Compression
from afl_sim.scenario.sections.data import held_out
from afl_sim.streams import Streams
from afl_sim.world.clients.devices import speeds


@dataclass(frozen=True)
class Prepared:
    """What a run starts from.

    Attributes:
        partition: who trains on which samples.
        layout: how the model lies in its vector.
        initial: shape (P + B,): the initial model.
        saved: the tensors that are saved of a model given as such a vector, by name.
        dataset: the samples; None for a run without training.
        labels: int64 (samples,): the labels of what the partition deals out.
        classes: how many labels there are.
        testing: which samples clients keep for tests; None where they keep none.
        evaluation_samples: how many the set has that ``evaluation.on`` names; None where only the
            user's own files tell.
    """

    partition: Partition
    layout: ParameterVector
    initial: Tensor
    saved: Callable[[Tensor], dict[str, Tensor]]
    dataset: Dataset | None
    labels: npt.NDArray[np.int64]
    classes: int
    testing: Partition | None
    evaluation_samples: int | None


def prepare(scenario: Scenario, timing_only: bool = False) -> Prepared:
    """Load the data, deal it out and build the initial model.

    Raises:
        DataError: the data set is missing or damaged.
        ScenarioError: the partition or the batch size is impossible with this data.
    """
    streams = Streams(scenario.seed)
    dataset = None
    if timing_only:
        labels = load_labels(scenario.data, streams)
    else:
        with one_at_a_time:
            dataset = load_dataset(scenario.data, streams)
        labels = dataset.labels.numpy()
    dealt = deal_out(scenario, labels, streams)
    check_batches(scenario, dealt.training)
    available = _evaluation_samples(scenario, dataset, dealt)
    demands = demands_of(scenario, settings_of(scenario), dealt.training, available)
    model = initial_model(scenario.model.model_dump(by_alias=True), scenario.data, streams, demands)
    if scenario.numerics.mode == "batched":
        check_batching(scenario, model.module, demands)
    if dataset is not None:
        _check_evaluation(scenario, available)
    return Prepared(
        dealt.training,
        model.layout,
        model.vector,
        model.saved,
        dataset,
        labels,
        scenario.data.info.classes,
        dealt.testing,
        available,
    )


def deal_out(scenario: Scenario, labels: npt.NDArray[np.int64], streams: Streams) -> Dealt:
    """The samples of these labels, dealt out to the clients.

    Raises:
        ScenarioError: the partition is impossible with this data.
    """
    seconds = _client_speeds(scenario)
    return deal(scenario.data, labels, scenario.clients.count, seconds, streams)


def _client_speeds(scenario: Scenario) -> tuple[float, ...]:
    """The speed of every client, where their data goes with it; else nothing."""
    if scenario.data.speed_correlation is None:
        return ()
    return speeds(scenario.clients, Streams(scenario.seed))


def check_batches(scenario: Scenario, partition: Partition) -> None:
    """Refuse to drop the only batch that a client has.

    Raises:
        ScenarioError: ``drop_last`` with a batch larger than some client's data.
    """
    training = scenario.training
    batch = training.samples_per_step
    if not training.drop_last or batch is None:
        return
    smallest = int(np.min(partition.sizes))
    if batch > smallest:
        raise ScenarioError(
            f"training.drop_last: a client with {smallest} samples has no whole batch of "
            f"{batch}; expected training.batch_size of at most {smallest}, or "
            "drop_last: false"
        )


@dataclass(frozen=True)
class Recipe:
    """What a worker process needs to do a run's tasks; it can be pickled.

    Attributes:
        data, model, evaluation: the scenario's blocks (the model as plain data, because a user's
            own factory is found by name).
        settings: how every client trains.
        clients, seed: of the scenario.
        compression: what of models and updates arrives.
        speeds: of the clients, where their data goes with it; else empty.
        stored: folder of the pool as memory maps; None in the process that holds the data set.
    """

    data: DataSpec
    model: dict[str, Any]
    settings: LocalSettings
    evaluation: EvaluationSettings
    clients: int
    seed: int
    compression: Compression
    speeds: tuple[float, ...] = ()
    stored: Path | None = None


def settings_of(scenario: Scenario) -> LocalSettings:
    """How a scenario's clients train."""
    training = scenario.training
    strategy: Any = scenario.strategy
    optimizer: Any = training.optimizer
    return LocalSettings(
        optimizer,
        training.samples_per_step,
        training.loss,
        training.shuffle,
        training.drop_last,
        training.clip_norm,
        strategy.proximal or training.proximal,
        strategy.gradient,
        scenario.numerics.precision,
        scenario.numerics.device,
        training.gradient_noise,
        scenario.numerics.mode == "batched",
    )


def recipe_of(scenario: Scenario) -> Recipe:
    """The part of a scenario that tasks depend on."""
    return Recipe(
        scenario.data,
        scenario.model.model_dump(by_alias=True),
        settings_of(scenario),
        scenario.evaluation,
        scenario.clients.count,
        scenario.seed,
        scenario.training.compression,
        _client_speeds(scenario),
    )


def compressor_of(recipe: Recipe) -> Compressor | None:
    """What compresses a recipe's models and updates; None where all travels as it is."""
    if recipe.compression == Compression():
        return None
    return Compressor(recipe.compression, Streams(recipe.seed), recipe.settings.gradient)


class _SizedShards(Shards, Protocol):
    """Which samples a client holds, and how many."""

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Samples of each client, shape (clients,)."""


def build_runner(
    recipe: Recipe, dataset: Dataset, partition: _SizedShards, testing: Shards | None = None
) -> tuple[LocalTrainer, Evaluator]:
    """What does the tasks of a recipe with this data.

    Args:
        recipe: the run's.
        dataset: the samples.
        partition: which of them each client trains on.
        testing: which it keeps for tests, if any.
    """
    streams = Streams(recipe.seed)
    model = new_model(recipe.model, recipe.data, streams)
    chosen = recipe.evaluation
    shards = {"client_test": testing, "client_train": partition}.get(chosen.on)
    if shards is not None:
        held = [shards.indices(client) for client in range(recipe.clients)]
        rows = torch.from_numpy(np.sort(np.concatenate(held)))  # in the order of the files
        images, labels = dataset.images[rows], dataset.labels[rows]
    elif chosen.on == "validation":
        images, labels = dataset.validation_images, dataset.validation_labels
    else:
        images, labels = dataset.test_images, dataset.test_labels
    if chosen.samples is not None and chosen.samples < len(labels):
        order = streams.generator("evaluation").permutation(len(labels))
        subset = torch.from_numpy(np.sort(order[: chosen.samples]))
        images, labels = images[subset], labels[subset]
    sizes = UNKNOWN
    if recipe.model["kind"] not in MODELS:  # no other goes by how many samples there are
        sizes = _batch_sizes(recipe, partition.sizes, len(labels))
    trainer = LocalTrainer(
        model, dataset.images, dataset.labels, partition, streams, recipe.settings, sizes
    )
    gradient = None
    if chosen.squared_gradient_norm:
        gradient = FullGradient(trainer, partition, recipe.clients)
    return trainer, Evaluator(
        trainer, images, labels, dataset.classes, recipe.settings.loss, gradient
    )


def _batch_sizes(recipe: Recipe, held: npt.NDArray[np.int64], evaluated: int) -> BatchSizes:
    """The batches that a recipe's model will get.

    Args:
        recipe: the run's.
        held: samples of each client.
        evaluated: how many samples evaluations use.
    """
    settings = recipe.settings
    trained = batch_sizes(held, settings.batch_size, settings.drop_last)
    totals = [evaluated]
    if recipe.evaluation.squared_gradient_norm:
        totals.append(int(held.sum()))
    parts = {min(EVALUATION_BATCH, total) for total in totals}
    rests = {total % EVALUATION_BATCH for total in totals}
    return BatchSizes(tuple(trained), tuple(sorted((parts | rests) - {0})))


def worker_runner(recipe: Recipe) -> TaskRunner:
    """A worker process's `TaskRunner`, on the data that another process has stored.

    Raises:
        DataError: the stored data is gone.
    """
    assert recipe.stored is not None
    pool = open_pool(recipe.data, recipe.stored)
    streams = Streams(recipe.seed)
    rows, held_out = split_pool(len(pool.labels), recipe.data.validation, streams)
    labels = pool.labels.numpy()[rows]
    dealt = deal(recipe.data, labels, recipe.clients, recipe.speeds, streams)
    training: _SizedShards = dealt.training
    testing: _SizedShards | None = dealt.testing
    if len(held_out):
        # The pool stays whole, so that it stays shared; clients' indices are put through instead.
        aside = torch.from_numpy(held_out)
        pool = replace(
            pool, validation_images=pool.images[aside], validation_labels=pool.labels[aside]
        )
        training = _Rows(training, rows)
        testing = None if testing is None else _Rows(testing, rows)
    return TaskRunner(*build_runner(recipe, pool, training, testing), compressor_of(recipe))


@dataclass(frozen=True)
class _Rows:
    """A partition of some rows of a pool, seen as a partition of the pool."""

    partition: _SizedShards
    rows: npt.NDArray[np.int64]

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        return self.partition.sizes

    def indices(self, client: int) -> npt.NDArray[np.int64]:
        return self.rows[self.partition.indices(client)]


def _evaluation_samples(scenario: Scenario, dataset: Dataset | None, dealt: Dealt) -> int | None:
    """How many samples the set has that ``evaluation.on`` names.

    None where that is known only once the user's own files are read.
    """
    on, data = scenario.evaluation.on, scenario.data
    shards = {"client_test": dealt.testing, "client_train": dealt.training}.get(on)
    if shards is not None:
        return int(shards.sizes.sum())
    if dataset is not None:
        return len(dataset.validation_labels if on == "validation" else dataset.test_labels)
    if data.root is not None:
        return None
    if on == "test":
        return data.info.test
    pool = data.info.train + (data.info.test if data.pool == "train_and_test" else 0)
    return held_out(pool, data.validation)


def _check_evaluation(scenario: Scenario, available: int | None) -> None:
    settings = scenario.evaluation
    if not available:
        raise DataError(f"evaluation.on: the {settings.on} set has no samples")
    if settings.samples is not None and settings.samples > available:
        raise ScenarioError(
            f"evaluation.samples: {settings.samples} is more than the {settings.on} set has; "
            f"expected at most {available}"
        )
