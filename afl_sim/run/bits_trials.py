"""Tries whether code of the user's own is portable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from afl_sim.errors import AflSimError
from afl_sim.execution.numerics import deterministic
from afl_sim.learning.data.form import form_of
from afl_sim.learning.data.made_up import made_up
from afl_sim.learning.training.model_trial import Demands
from afl_sim.learning.training.portable_trial import first_obstacle
from afl_sim.run.initial_model import new_model
from afl_sim.run.kinds import corrects, is_built_in, model_spec, settings_of, strategy_of
from afl_sim.run.rule_trials import rule_obstacle
from afl_sim.run.strategy_trial import strategy_obstacle
from afl_sim.run.task_checks import own_code, task_obstacle
from afl_sim.run.turns import one_at_a_time
from afl_sim.scenario import Scenario
from afl_sim.scenario.own_rules import rules_in
from afl_sim.streams import Streams

_BATCH = 4  # inputs in a trial

_known: dict[tuple[Any, ...], str | None] = {}


def obstacle(scenario: Scenario) -> str | None:
    """What in the user's own code is not portable; None if nothing is."""
    for found in (_of_model, _of_strategy, _of_task, _of_rules):
        reason = found(scenario)
        if reason is not None:
            return reason
    return None


def _of_model(scenario: Scenario) -> str | None:
    block = scenario.model.model_dump(by_alias=True)
    spec = model_spec(block)
    if spec.portable and not spec.changed:
        return None
    corrected = corrects(strategy_of(scenario))
    gradient = scenario.evaluation.squared_gradient_norm
    demands = Demands(settings_of(scenario), {}, (), corrected, gradient)
    data = scenario.data

    def tried() -> str | None:
        inputs, labels = made_up(data, _BATCH)
        seed = Streams(scenario.seed)
        found = first_obstacle(
            lambda: new_model(block, data, seed), inputs, labels, form_of(data).outputs, demands
        )
        return None if found is None else f"model: {found}"

    # A factory's name may mean another one later, say in a notebook.
    factory = getattr(type(scenario.model), "factory", type(scenario.model))
    return _once((factory, str(block), data, demands.settings, corrected, gradient), tried)


def _of_strategy(scenario: Scenario) -> str | None:
    strategy = strategy_of(scenario)
    if is_built_in(strategy):
        return None

    def tried() -> str | None:
        found = strategy_obstacle(scenario)
        return None if found is None else f"strategy: {found}"

    clients = scenario.clients.count
    return _once((type(strategy), strategy.model_dump_json(), clients), tried)


def _of_task(scenario: Scenario) -> str | None:
    own = own_code(scenario)
    if not own:
        return None
    key = (*map(type, own), *(rule.model_dump_json() for rule in own), scenario.data)
    return _once(key, lambda: task_obstacle(scenario, form_of(scenario.data)))


def _of_rules(scenario: Scenario) -> str | None:
    rules = [rule for _, rule in rules_in(scenario)]
    if not rules:
        return None
    key = tuple((type(rule), rule.model_dump_json()) for rule in rules)
    return _once((*key, scenario.clients.count), lambda: rule_obstacle(scenario))


def _once(key: tuple[Any, ...], trial: Callable[[], str | None]) -> str | None:
    """The result of a trial, which is done once for a key in each process."""
    with one_at_a_time:
        if key not in _known:
            try:
                with deterministic():
                    _known[key] = trial()
            except AflSimError:  # it is told when the run is prepared
                _known[key] = None
        return _known[key]
