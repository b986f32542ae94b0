"""Everything a run needs before its clock starts: data, partition, initial model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afl_sim.errors import DataError, ScenarioError
from afl_sim.execution.runner import TaskRunner
from afl_sim.learning.batchable import batching_problems
from afl_sim.learning.client_split import Dealt, deal
from afl_sim.learning.compression import Compressor
from afl_sim.learning.datasets import (
    Dataset,
    load_dataset,
    load_labels,
    open_pool,
    split_pool,
)
from afl_sim.learning.evaluation import Evaluator
from afl_sim.learning.full_gradient import FullGradient
from afl_sim.learning.model_checks import check_model
from afl_sim.learning.models import MODELS, build_model, resolve_model
from afl_sim.learning.parameters import ParameterVector, initial_vector
from afl_sim.learning.partition import Partition
from afl_sim.learning.training import LocalSettings, LocalTrainer, Shards
from afl_sim.scenario import DataSpec, Scenario
from afl_sim.scenario import Evaluation as EvaluationSettings
from afl_sim.scenario.compression import Compression
from afl_sim.streams import Streams
from afl_sim.world.devices import speeds

# Models are drawn from torch's global generator, and data is read once for all runs of a process.
_one_at_a_time = Lock()


@dataclass(frozen=True)
class Prepared:
    """What a run starts from.

    Attributes:
        partition: who trains on which samples.
        layout: how the model lies in its vector.
        initial: shape (P + B,): the initial model.
        dataset: the samples; None for a run without training.
        labels: int64 (samples,): the labels of what the partition deals out.
        classes: how many labels there are.
        testing: which samples clients keep for tests; None where they keep none.
    """

    partition: Partition
    layout: ParameterVector
    initial: Tensor
    dataset: Dataset | None
    labels: npt.NDArray[np.int64]
    classes: int
    testing: Partition | None = None

    def evaluated_shards(self, on: str) -> Partition | None:
        """The clients' samples that ``evaluation.on`` names; None where it names another set."""
        return {"client_test": self.testing, "client_train": self.partition}.get(on)


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
        with _one_at_a_time:
            dataset = load_dataset(scenario.data, streams)
        labels = dataset.labels.numpy()
    dealt = deal_out(scenario, labels, streams)
    check_batches(scenario, dealt.training)
    block = scenario.model.model_dump(by_alias=True)
    model = _new_model(block, scenario.data, streams)
    layout = ParameterVector(model)
    initial = initial_vector(model, layout)
    if block["kind"] not in MODELS:
        with _one_at_a_time:
            check_model(model, scenario.data.info.input_shape, scenario.data.info.classes)
    if scenario.numerics.mode == "batched":
        check_batching(scenario, model)
    prepared = Prepared(
        dealt.training,
        layout,
        initial,
        dataset,
        labels,
        scenario.data.info.classes,
        dealt.testing,
    )
    if dataset is not None:
        _check_evaluation(scenario, dataset, prepared)
    return prepared


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


def check_batching(scenario: Scenario, model: torch.nn.Module) -> None:
    """Refuse what ``numerics.mode: batched`` cannot train.

    Raises:
        ScenarioError: one line for the optimizer and one for the model, if they do not fit.
    """
    optimizer: Any = scenario.training.optimizer
    strategy: Any = scenario.strategy
    used = None if strategy.gradient else optimizer.kind
    problems = list(batching_problems(model, used, scenario.data.info.input_shape))
    if problems:
        raise ScenarioError("\n".join(problems))


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


def recipe_of(scenario: Scenario) -> Recipe:
    """The part of a scenario that tasks depend on."""
    training = scenario.training
    strategy: Any = scenario.strategy
    optimizer: Any = training.optimizer
    settings = LocalSettings(
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
    return Recipe(
        scenario.data,
        scenario.model.model_dump(by_alias=True),
        settings,
        scenario.evaluation,
        scenario.clients.count,
        scenario.seed,
        training.compression,
        _client_speeds(scenario),
    )


def compressor_of(recipe: Recipe) -> Compressor | None:
    """What compresses a recipe's models and updates; None where all travels as it is."""
    if recipe.compression == Compression():
        return None
    return Compressor(recipe.compression, Streams(recipe.seed), recipe.settings.gradient)


def build_runner(
    recipe: Recipe, dataset: Dataset, partition: Shards, testing: Shards | None = None
) -> tuple[LocalTrainer, Evaluator]:
    """What does the tasks of a recipe with this data.

    Args:
        recipe: the run's.
        dataset: the samples.
        partition: which of them each client trains on.
        testing: which it keeps for tests, if any.
    """
    streams = Streams(recipe.seed)
    model = _new_model(recipe.model, recipe.data, streams)
    trainer = LocalTrainer(
        model, dataset.images, dataset.labels, partition, streams, recipe.settings
    )
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
    gradient = None
    if chosen.squared_gradient_norm:
        gradient = FullGradient(trainer, partition, recipe.clients)
    return trainer, Evaluator(
        trainer, images, labels, dataset.classes, recipe.settings.loss, gradient
    )


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
    training: Shards = dealt.training
    testing: Shards | None = dealt.testing
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

    partition: Shards
    rows: npt.NDArray[np.int64]

    def indices(self, client: int) -> npt.NDArray[np.int64]:
        return self.rows[self.partition.indices(client)]


def _new_model(block: dict[str, Any], data: DataSpec, streams: Streams) -> torch.nn.Module:
    kind = block["kind"]
    spec = (MODELS.get(kind) or resolve_model(kind)).model_validate(block)
    with _one_at_a_time:
        return build_model(spec, data.info.input_shape, data.info.classes, streams.integer("init"))


def _check_evaluation(scenario: Scenario, dataset: Dataset, prepared: Prepared) -> None:
    settings = scenario.evaluation
    shards = prepared.evaluated_shards(settings.on)
    if shards is not None:
        available = int(shards.sizes.sum())
    elif settings.on == "validation":
        available = len(dataset.validation_labels)
    else:
        available = len(dataset.test_labels)
    if not available:
        raise DataError(f"evaluation.on: the {settings.on} set has no samples")
    if settings.samples is not None and settings.samples > available:
        raise ScenarioError(
            f"evaluation.samples: {settings.samples} is more than the {settings.on} set has; "
            f"expected at most {available}"
        )
