"""The known kinds of strategies, models and optimizers, and the blocks of a scenario as such."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel

from afl_sim.errors import ScenarioError
from afl_sim.learning.models.built_in import MODELS
from afl_sim.learning.models.factories import resolve_model
from afl_sim.learning.models.spec import ModelSpec
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.optimizers import OPTIMIZERS, OptimizerSpec
from afl_sim.scenario import Scenario
from afl_sim.scenario.catalogue import Catalogue, use_catalogue
from afl_sim.scenario.sections.personalization import Ditto
from afl_sim.strategies import resolve_strategy, strategies
from afl_sim.strategies.base import Strategy


def catalogue() -> Catalogue:
    """All kinds that are built in, registered or installed at this moment."""
    return Catalogue(
        strategies=strategies(),
        models=MODELS,
        optimizers=OPTIMIZERS,
        resolve_strategy=cache(resolve_strategy),
        resolve_model=cache(resolve_model),
        bases={"strategy": Strategy, "model": ModelSpec, "optimizer": OptimizerSpec},
    )


use_catalogue(catalogue)


def strategy_of(scenario: Scenario) -> Strategy:
    """The scenario's strategy.

    Raises:
        ScenarioError: the scenario was read without a `catalogue`.
    """
    if not isinstance(scenario.strategy, Strategy):
        raise _unknown("strategy", scenario.strategy)
    return scenario.strategy


def optimizer_of(scenario: Scenario) -> OptimizerSpec:
    """The optimizer of the scenario's clients.

    Raises:
        ScenarioError: the scenario was read without a `catalogue`.
    """
    optimizer = scenario.training.optimizer
    if not isinstance(optimizer, OptimizerSpec):
        raise _unknown("training.optimizer", optimizer)
    return optimizer


def has_own_models(scenario: Scenario) -> bool:
    """Whether each client has a model of its own, so that no model is that of all clients."""
    return getattr(scenario.model, "kept_by_clients", None) is not None


def measures_personal(scenario: Scenario) -> bool:
    """Whether evaluations measure personalised models beside those that they always measure."""
    tuned = scenario.evaluation.fine_tuning is not None
    return tuned or isinstance(scenario.training.personalization, Ditto)


def tests_own_models(scenario: Scenario) -> bool:
    """Whether evaluations test models of which each client has one of its own."""
    return has_own_models(scenario) or measures_personal(scenario)


def settings_of(scenario: Scenario, portable: bool = False) -> LocalSettings:
    """How a scenario's clients train.

    Args:
        scenario: the run's.
        portable: whether they train in portable arithmetic.
    """
    training = scenario.training
    strategy = strategy_of(scenario)
    return LocalSettings(
        optimizer_of(scenario),
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
        training.augment,
        portable,
        training.gradient_noise_per == "gradient",
    )


def model_spec(block: dict[str, Any]) -> ModelSpec:
    """The model of a scenario's ``model`` block.

    Raises:
        ScenarioError: its factory cannot be found.
    """
    kind = block["kind"]
    return (MODELS.get(kind) or resolve_model(kind)).model_validate(block)


def corrects(strategy: Strategy) -> bool:
    """Whether a strategy adds a correction to the clients' gradients."""
    return type(strategy).correction is not Strategy.correction


def is_built_in(strategy: Strategy) -> bool:
    """Whether a strategy comes with the package."""
    return type(strategy).__module__.startswith("afl_sim.strategies.")


def _unknown(key: str, block: BaseModel) -> ScenarioError:
    kind = getattr(block, "kind", type(block).__name__)
    return ScenarioError(
        f"{key}: {kind} was read without the known kinds, so its settings are unchecked; "
        "expected a scenario that load_scenario has read"
    )
