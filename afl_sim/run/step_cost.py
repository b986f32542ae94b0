"""What a local step of a scenario costs a device, where the scenario asks for it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from afl_sim.errors import AflSimError, ScenarioError
from afl_sim.learning.data.form import form_of
from afl_sim.learning.models.cost import ModelCost, counted
from afl_sim.learning.training.optimizer_states import states_of
from afl_sim.run.kinds import optimizer_of, strategy_of
from afl_sim.scenario import DataSpec, Scenario
from afl_sim.scenario.traces.device_columns import FLOPS
from afl_sim.user_code import reason
from afl_sim.world.tasks.roofline import StepCost


def step_cost_of(scenario: Scenario) -> StepCost | None:
    """The cost of a local step; None if no client has operations per second.

    Raises:
        ScenarioError: the model does not suit the data, or its operations cannot be counted.
    """
    if not _has_operations(scenario):
        return None
    model = model_cost_of(scenario)
    return StepCost(
        model.step_flops, model.moved_per_step(optimizer_states(scenario)), model.moved_per_sample
    )


def model_cost_of(scenario: Scenario) -> ModelCost:
    """What training the scenario's model asks of a device.

    PyTorch is used only for models other than the built-in ones.

    Raises:
        ScenarioError: the model does not suit the data, or its operations cannot be counted.
    """
    model, data = scenario.model.model_dump_json(by_alias=True), scenario.data.model_dump_json()
    return _cost(_Asked(scenario.model, scenario.data, f"{model}\n{data}"))


def optimizer_states(scenario: Scenario) -> int:
    """Numbers that clients' optimizers hold for each one that is trained."""
    if strategy_of(scenario).gradient:
        return 0
    optimizer = optimizer_of(scenario)
    return states_of(optimizer.kind, optimizer.model_dump())


def _has_operations(scenario: Scenario) -> bool:
    return any(
        part.compute.unit == "flop"
        or (part.devices is not None and FLOPS in part.devices.devices.columns)
        for part in scenario.clients.parts()
    )


class _Asked:
    """A model and data, which are the same if their text is."""

    def __init__(self, model: Any, data: DataSpec, text: str) -> None:
        self.model = model
        self.data = data
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@lru_cache(maxsize=32)
def _cost(asked: _Asked) -> ModelCost:
    return counted(asked.model, form_of(asked.data)) or _measured(asked.model, asked.data)


def _measured(spec: Any, data: DataSpec) -> ModelCost:
    from afl_sim.learning.data.made_up import made_up
    from afl_sim.learning.models.built_in import build_model
    from afl_sim.learning.models.cost.measuring import measured

    model = build_model(spec, form_of(data), 0)
    try:
        return measured(model, lambda count: made_up(data, count)[0])
    except AflSimError:
        raise
    except Exception as error:  # code of the user's own may raise anything
        raise ScenarioError(f"model: {spec.kind} cannot be run: {reason(error)}") from error
