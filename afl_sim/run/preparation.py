"""The first stage of a run: its data, its partition and its initial model, all of them checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.lazy import Tensor
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.data.datasets import load_annotations, load_dataset, stored_pool
from afl_sim.learning.data.form import form_of
from afl_sim.learning.data.skew import check_skew, skewed
from afl_sim.learning.metrics.chosen import targets_of
from afl_sim.learning.models.layout import Layout
from afl_sim.learning.partition import Dealt, Partition, deal, group_shares
from afl_sim.learning.training.augmentation import check_augmentation
from afl_sim.portable.block import arithmetic_of
from afl_sim.run.bits import effective_bits
from afl_sim.run.checks import (
    check_alternation,
    check_attack,
    check_batches,
    check_fine_tuning,
    check_public,
    evaluation_problems,
)
from afl_sim.run.kinds import optimizer_of
from afl_sim.run.memory import check_fit
from afl_sim.run.model_size import ModelSize, model_size
from afl_sim.run.of_devices import client_speeds, measured_sizes
from afl_sim.run.task_checks import check_task, measured_by
from afl_sim.run.turns import one_at_a_time
from afl_sim.scenario import Scenario
from afl_sim.scenario.own_rules import rules_in
from afl_sim.scenario.sections.attack import Attack
from afl_sim.scenario.sections.compression import Compressor
from afl_sim.scenario.sections.data import held_out
from afl_sim.scenario.sections.metrics import Better
from afl_sim.scenario.sections.personalization import Ditto
from afl_sim.streams import Streams

if TYPE_CHECKING:
    from afl_sim.learning.data.dataset import Dataset
    from afl_sim.run.initial_model import InitialModel


@dataclass(frozen=True)
class Kept:
    """What each client keeps of a model for itself.

    Attributes:
        layout: how it lies in a vector of shape (Q,).
        initial: shape (Q,): what it is before the client's first task; None if nothing is trained.
    """

    layout: Layout
    initial: Tensor | None


@dataclass(frozen=True)
class Prepared:
    """What a run starts from.

    Attributes:
        scenario: what is run.
        partition: the samples that each client trains on.
        layout: how the global model lies in its vector: what is sent.
        model: the initial model; None in a run without training whose model need not be built.
        dataset: the samples; None for a run without training.
        samples: the samples that are dealt out, without their inputs.
        testing: the samples that each client keeps for tests; None if there are none.
        evaluation_samples: number of samples in the set that ``evaluation.on`` names; None if only
            files of the user's would tell, and they were not read.
        metrics: the metrics of evaluations, the main one first, and which of two values is better.
        targets: by metric, the values for which the time to reach them is reported. Unless the
            scenario has its own, they are for classes only.
        kept: what each client keeps for itself; None if it keeps nothing.
    """

    scenario: Scenario
    partition: Partition
    layout: Layout
    model: InitialModel | None
    dataset: Dataset | None
    samples: Annotations
    testing: Partition | None
    evaluation_samples: int | None
    metrics: dict[str, Better]
    targets: Mapping[str, Sequence[float]]
    kept: Kept | None = None

    @property
    def initial(self) -> Tensor:
        """Shape (P + B,): the initial model, of a run that trains."""
        assert self.model is not None
        return self.model.vector

    def arrays(self, vector: Tensor) -> dict[str, npt.NDArray[np.generic]]:
        """The tensors of a model by the names they are saved under, as NumPy arrays.

        Args:
            vector: shape (P + B,): a global model. Parts that clients keep have their initial
                values.
        """
        assert self.model is not None
        return {name: tensor.numpy() for name, tensor in self.model.saved_shared(vector).items()}

    @property
    def sent(self) -> tuple[int, int]:
        """The numbers of parameters and of buffers that are sent."""
        parameters = self.layout.num_parameters
        return parameters, self.layout.size - parameters


def prepare(scenario: Scenario, timing_only: bool = False) -> Prepared:
    """Load the data, deal it out, build the initial model, and check that they fit together.

    Args:
        scenario: what is to be run.
        timing_only: whether it trains nothing: of the data, only the labels are read; and the model
            is built only if its size is not known without it.

    Raises:
        DataError: the data set is missing or damaged.
        ScenarioError: the loss, the metrics, the partition, the batch size, the evaluation set or
            the model does not suit the data; the model cannot be trained; or code of the user's own
            fails on it.
    """
    streams = Streams(scenario.seed)
    dataset = None
    if timing_only:
        samples = load_annotations(scenario.data, streams)
    else:
        dataset = _dataset(scenario, streams)
        samples = dataset.annotations
    with arithmetic_of(not timing_only and effective_bits(scenario).portable):
        form = form_of(scenario.data) if dataset is None else dataset.form
        check_task(scenario, form)
    dealt = deal_out(scenario, samples, streams)
    check_skew(scenario.data, form)
    if dataset is not None:
        dataset = skewed(dataset, scenario.data, dealt.held, scenario.clients.count, streams)
    check_fit(scenario, dealt.training.sizes)
    check_batches(scenario, dealt.training)
    check_augmentation(scenario.training.augment, form)
    if not timing_only:
        check_attack(scenario, samples, form, dealt.training)
    available = _evaluation_samples(scenario, dataset, dealt)
    check_public(scenario, form, _held_out(scenario, dataset))
    size = model_size(scenario) if timing_only and not _tries_the_model(scenario) else None
    model = None
    if size is None:
        from afl_sim.run.model_checks import checked_model  # the door to PyTorch

        size = model = checked_model(scenario, dealt, available, timing_only)
    else:
        optimizer_of(scenario)
        check_alternation(scenario.training, size.parts)
        check_fine_tuning(scenario.evaluation, None, size.whole)
    if dataset is not None:
        for path, message in evaluation_problems(scenario, available):
            raise ScenarioError(f"{'.'.join(path)}: {message}")
    return Prepared(
        scenario,
        dealt.training,
        size.layout,
        model,
        dataset,
        samples,
        dealt.testing,
        available,
        measured_by(scenario, form),
        targets_of(scenario.evaluation, form),
        _kept(scenario, size, model),
    )


def _dataset(scenario: Scenario, streams: Streams) -> Dataset:
    """The samples of a run that trains."""
    with one_at_a_time:
        if _in_workers(scenario):
            stored_pool(scenario.data)  # so that this process need not keep a copy of its own
        return load_dataset(scenario.data, streams)


def _in_workers(scenario: Scenario) -> bool:
    """Whether worker processes train."""
    return scenario.execution.executor != "inline" and scenario.numerics.mode != "batched"


def _tries_the_model(scenario: Scenario) -> bool:
    """Whether something is tried on the model, even if the run trains nothing."""
    rules = (rule for _, rule in rules_in(scenario))
    return scenario.numerics.mode == "batched" or any(
        isinstance(rule, Compressor | Attack) for rule in rules
    )


def _kept(scenario: Scenario, size: ModelSize, model: InitialModel | None) -> Kept | None:
    if size.parts is not None:
        return Kept(size.parts.personal, None if model is None else model.personal)
    if isinstance(scenario.training.personalization, Ditto):
        return Kept(size.whole, None if model is None else model.initial)
    return None


def deal_out(scenario: Scenario, samples: Annotations, streams: Streams) -> Dealt:
    """Deal samples out to the scenario's clients.

    Raises:
        ScenarioError: the partition is impossible with this data.
    """
    clients = scenario.clients
    return deal(
        scenario.data,
        samples,
        clients.count,
        client_speeds(scenario),
        streams,
        group_shares(clients, streams),
        measured_sizes(scenario),
    )


def _evaluation_samples(scenario: Scenario, dataset: Dataset | None, dealt: Dealt) -> int | None:
    """The number of samples in the set that ``evaluation.on`` names.

    None if only files of the user's would tell, and they were not read.
    """
    on, data = scenario.evaluation.on, scenario.data
    shards = {"client_test": dealt.testing, "client_train": dealt.training}.get(on)
    if shards is not None:
        return int(shards.sizes.sum())
    if on == "validation":
        return _held_out(scenario, dataset)
    if dataset is not None:
        return len(dataset.test_labels)
    return data.info.test if data.sizes_are_known else None


def _held_out(scenario: Scenario, dataset: Dataset | None) -> int | None:
    """The number of samples that ``data.validation`` holds out; None as above."""
    data = scenario.data
    if dataset is not None:
        return len(dataset.validation_labels)
    if not data.sizes_are_known:
        return None
    pool = data.info.train + (data.info.test if data.pool == "train_and_test" else 0)
    return held_out(pool, data.validation)
