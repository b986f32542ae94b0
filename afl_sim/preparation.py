"""Everything a run needs before its clock starts: data, partition, initial model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from afl_sim.errors import DataError, ScenarioError
from afl_sim.learning.datasets import Dataset, load_dataset, load_labels
from afl_sim.learning.evaluation import Evaluator
from afl_sim.learning.models import build_model
from afl_sim.learning.parameters import ParameterVector, initial_vector
from afl_sim.learning.partition import Partition, make_partition
from afl_sim.learning.training import LocalSettings, LocalTrainer
from afl_sim.scenario import Scenario
from afl_sim.streams import Streams


@dataclass(frozen=True)
class Prepared:
    """What a run starts from.

    Attributes:
        partition: who holds which samples.
        layout: how the model lies in its vector.
        initial: shape (P + B,): the initial model.
        dataset: the samples; None for a run without training.
    """

    partition: Partition
    layout: ParameterVector
    initial: Tensor
    dataset: Dataset | None


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
        dataset = load_dataset(scenario.data, streams)
        labels = dataset.labels.numpy()
        _check_evaluation(scenario, dataset)
    partition = make_partition(scenario.data, labels, scenario.clients.count, streams)
    check_batches(scenario, partition)
    model = _new_model(scenario)
    layout = ParameterVector(model)
    return Prepared(partition, layout, initial_vector(model, layout), dataset)


def check_batches(scenario: Scenario, partition: Partition) -> None:
    """Refuse to drop the only batch that a client has.

    Raises:
        ScenarioError: ``drop_last`` with a batch larger than some client's data.
    """
    training = scenario.training
    if not training.drop_last or training.batch_size == "full":
        return
    smallest = int(np.min(partition.sizes))
    if training.batch_size > smallest:
        raise ScenarioError(
            f"training.drop_last: a client with {smallest} samples has no whole batch of "
            f"{training.batch_size}; expected training.batch_size of at most {smallest}, or "
            "drop_last: false"
        )


def build_trainer(scenario: Scenario, prepared: Prepared) -> LocalTrainer:
    """The local trainer that the scenario describes."""
    assert prepared.dataset is not None
    training = scenario.training
    strategy: Any = scenario.strategy
    optimizer: Any = training.optimizer
    settings = LocalSettings(
        optimizer,
        None if training.batch_size == "full" else training.batch_size,
        training.loss,
        training.shuffle,
        training.drop_last,
        training.clip_norm,
        strategy.proximal or training.proximal,
        strategy.gradient,
    )
    return LocalTrainer(
        _new_model(scenario),
        prepared.dataset.images,
        prepared.dataset.labels,
        prepared.partition,
        Streams(scenario.seed),
        settings,
    )


def build_evaluator(scenario: Scenario, prepared: Prepared, trainer: LocalTrainer) -> Evaluator:
    """The evaluator that the scenario describes."""
    assert prepared.dataset is not None
    dataset, settings = prepared.dataset, scenario.evaluation
    if settings.on == "validation":
        images, labels = dataset.validation_images, dataset.validation_labels
    else:
        images, labels = dataset.test_images, dataset.test_labels
    if settings.samples is not None and settings.samples < len(labels):
        order = Streams(scenario.seed).generator("evaluation").permutation(len(labels))
        chosen = torch.from_numpy(np.sort(order[: settings.samples]))
        images, labels = images[chosen], labels[chosen]
    return Evaluator(trainer, images, labels, dataset.classes, scenario.training.loss)


def _new_model(scenario: Scenario) -> torch.nn.Module:
    spec: Any = scenario.model
    info = scenario.data.info
    seed = Streams(scenario.seed).integer("init")
    return build_model(spec, info.input_shape, info.classes, seed)


def _check_evaluation(scenario: Scenario, dataset: Dataset) -> None:
    settings = scenario.evaluation
    available = len(
        dataset.validation_labels if settings.on == "validation" else dataset.test_labels
    )
    if not available:
        raise DataError(f"evaluation.on: the {settings.on} set has no samples")
    if settings.samples is not None and settings.samples > available:
        raise ScenarioError(
            f"evaluation.samples: {settings.samples} is more than the {settings.on} set has; "
            f"expected at most {available}"
        )
