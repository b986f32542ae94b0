"""The model that a run starts from: built, measured and, if the user wrote it, tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from afl_sim.errors import ScenarioError
from afl_sim.execution.numerics import deterministic
from afl_sim.execution.runner import NO_MEMORY
from afl_sim.learning.data.batch_sizes import batch_sizes
from afl_sim.learning.data.form import form_of
from afl_sim.learning.data.made_up import made_up
from afl_sim.learning.models.built_in import build_model, count_parameters
from afl_sim.learning.models.model_checks import check_same, check_tensors
from afl_sim.learning.models.parameters import ParameterVector, initial_vector
from afl_sim.learning.models.personal import personal_parts
from afl_sim.learning.models.state_dict import StateDict
from afl_sim.learning.partition import Dealt, FixedPartition
from afl_sim.learning.training.batchable import batching_problems
from afl_sim.learning.training.evaluation import EVALUATION_BATCH
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.model_trial import MOST_SAMPLES, Demands, try_model
from afl_sim.run.kinds import corrects, model_spec, optimizer_of, strategy_of, tests_own_models
from afl_sim.run.memory import batches_that_fit
from afl_sim.run.model_size import ModelSize, check_memory
from afl_sim.run.turns import one_at_a_time
from afl_sim.scenario import DataSpec, Scenario
from afl_sim.streams import Streams


@dataclass(frozen=True)
class InitialModel(ModelSize):
    """What a run that trains needs to know about its model.

    Attributes:
        module: the model, as it was built or as a trial has left it.
        initial: shape (P + B,): its initial vector.
        saved: takes such a vector, and gives the tensors by the names they are saved under.
    """

    module: nn.Module = field(kw_only=True)
    initial: Tensor = field(kw_only=True)
    saved: Callable[[Tensor], dict[str, Tensor]] = field(kw_only=True)

    @property
    def vector(self) -> Tensor:
        """The initial vector of what is sent, and so of the global model."""
        return self.initial if self.parts is None else self.parts.split(self.initial)[0]

    @property
    def personal(self) -> Tensor:
        """The initial vector of what each client keeps for itself."""
        return self.initial[:0] if self.parts is None else self.parts.split(self.initial)[1]

    def saved_shared(self, vector: Tensor) -> dict[str, Tensor]:
        """The tensors of a global model by name; personal parts have their initial values."""
        if self.parts is None:
            return self.saved(vector)
        return self.saved(self.parts.join(vector, self.personal))


def initial_model(
    block: dict[str, Any], data: DataSpec, streams: Streams, demands: Demands
) -> InitialModel:
    """Build a scenario's model, and try what a run needs of it.

    Args:
        block: the scenario's ``model``, as plain data.
        data: its ``data``.
        streams: the run's random streams.
        demands: what the run needs of the model.

    Raises:
        ScenarioError: it cannot be built or trained, or is too large for this machine.
    """
    spec, form = model_spec(block), form_of(data)
    own = spec.tried or spec.changed
    if not own:
        count = count_parameters(spec, form)
        assert count is not None
        check_memory(count)
    try:
        module = new_model(block, data, streams)
        if own:
            check_tensors(module)
        layout = ParameterVector(module)
        check_memory(layout.size)
        vector = initial_vector(module, layout)
        parts = personal_parts(module, layout, spec.kept_by_clients)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and NO_MEMORY not in str(error):
            raise
        raise ScenarioError("model: there is not enough memory for it") from error
    if not own:
        saved = StateDict(module, layout)
        return InitialModel(layout, parts, module=module, initial=vector, saved=saved.of)
    saved = StateDict(module, layout)
    check_same(module, new_model(block, data, streams), block["kind"])
    with one_at_a_time, deterministic():
        inputs, labels = made_up(data, MOST_SAMPLES)
        try_model(module, inputs, labels, form, demands)
    return InitialModel(layout, parts, module=module, initial=vector, saved=saved.of)


def demands_of(
    scenario: Scenario, settings: LocalSettings, dealt: Dealt, available: int | None
) -> Demands:
    """What a run needs of its model.

    Args:
        scenario: the run's.
        settings: how its clients train.
        dealt: who trains on which samples, and is tested on which.
        available: number of samples that evaluations could use; None if that is not known.
    """
    evaluation, training, partition = scenario.evaluation, scenario.training, dealt.training
    tested = [min(available, evaluation.samples or available)] if available else []
    if evaluation.squared_gradient_norm and isinstance(partition, FixedPartition):
        tested.append(int(partition.sizes.sum()))  # in others several clients may hold a sample
    if evaluation.per_client and dealt.testing is not None:
        tested.append(int(dealt.testing.sizes.sum()))
    if tests_own_models(scenario):  # each is tested on the samples of its client alone
        shards = [dealt.testing, partition if evaluation.on == "client_train" else None]
        tested += [n for held in shards if held is not None for n in set(held.sizes.tolist())]
    last = {samples % EVALUATION_BATCH for samples in tested}
    return Demands(
        settings,
        batch_sizes(
            partition.sizes,
            training.samples_per_step,
            training.drop_last,
            batches_that_fit(scenario),
        ),
        tuple(sorted(size for size in last if 0 < size <= MOST_SAMPLES)),
        corrects(strategy_of(scenario)),
        evaluation.squared_gradient_norm,
    )


def check_batching(scenario: Scenario, model: nn.Module, demands: Demands) -> None:
    """Refuse what ``numerics.mode: batched`` cannot train.

    Args:
        scenario: the run's.
        model: its model; it is tried, and not changed.
        demands: what the run needs of it.

    Raises:
        ScenarioError: the optimizer or the model cannot be batched; one line for each.
    """
    used = None if strategy_of(scenario).gradient else optimizer_of(scenario).kind
    sizes = list(demands.holders)
    inputs, _ = made_up(scenario.data, min(max(6, *sizes), MOST_SAMPLES))
    problems = list(batching_problems(model, used, inputs, sizes))
    if problems:
        raise ScenarioError("\n".join(problems))


def new_model(block: dict[str, Any], data: DataSpec, streams: Streams) -> nn.Module:
    """The model of a scenario's ``model`` block, with the weights that the seed gives."""
    with one_at_a_time:
        return build_model(model_spec(block), form_of(data), streams.integer("init"))
