"""Tries rules of the user's own with small inputs, so that mistakes show before a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

import numpy as np

from afl_sim.errors import NotPortable, OwnRuleError, ScenarioError
from afl_sim.lazy import Tensor, torch
from afl_sim.learning.training.own_tensors import NotPortableRule, called
from afl_sim.portable.block import ADVICE, arithmetic_of
from afl_sim.scenario import Scenario
from afl_sim.scenario.checks.round_trips import laws_without_a_mean, without_a_mean
from afl_sim.scenario.own_rules import Rule, RuleKind, rules_in
from afl_sim.scenario.own_rules.calling import code_of_rule, refusal
from afl_sim.scenario.sections.attack import ATTACKS, Attack
from afl_sim.scenario.sections.candidates import Candidates
from afl_sim.scenario.sections.compression import COMPRESSORS, Compressor, bytes_of
from afl_sim.scenario.sections.controllers import (
    CONTROLLERS,
    SETTINGS,
    Controller,
    decided_by,
)
from afl_sim.scenario.sections.observation import Decision, Observation
from afl_sim.scenario.sections.partition_base import Problem
from afl_sim.scenario.sections.selection import SELECTIONS, Selection, chosen_by, loss_is_closed
from afl_sim.strategies.toolkit.staleness import STALENESS_WEIGHTS, StalenessWeight
from afl_sim.streams import Streams

_STALENESS = (*range(1001), 10**4, 10**6)  # in versions
_CANDIDATES = (1, 2, 7)
_INTERVALS: tuple[dict[str, Any], ...] = (
    {"seconds": 10.0, "arrived": 100, "staleness": {0: 100}, "task_seconds": 1.0},
    {
        **{"seconds": 10.0, "versions": 20, "arrived": 90, "lost": 10, "waiting": 3, "idle": 4},
        **{"staleness": {1: 50, 2: 40, 40: 10}, "task_seconds": 2.5, "in_flight": 6},
        **{"utilisation": {"aggregation": 0.5, "upload": 1.0}, "queue": {"upload": 7.0}},
    },
    {"seconds": 0.0, "staleness": {7: 1}},
)
_NUMBERS = (10, 1000)  # in a vector
_UNEQUAL = (
    "gave different results for equal calls; expected a function of its arguments, with random "
    "numbers from draws alone"
)


def try_rule(rule: Rule, clients: int = 10, settings: Collection[str] = SETTINGS) -> None:
    """Call a rule with small inputs, twice each.

    Args:
        rule: the rule.
        clients: the size of the population.
        settings: those that the strategy lets a controller change.

    Raises:
        OwnRuleError: it raised an exception, gave something that cannot be used, or did not give
            the same twice.
    """
    kind = _kind_of(rule)
    if kind is None:
        return
    for call in _calls(rule, clients, settings):
        once, again = call(), call()
        plain = isinstance(once, int | float | list)
        if not (once == again if plain else torch.equal(once, again)):
            raise refusal(rule, kind.noun, kind.hook, _UNEQUAL)


def answers_of(rule: Rule, backwards: bool = False) -> list[Any]:
    """What a rule gives for the inputs of a trial, in their order.

    Args:
        rule: the rule.
        backwards: ask in the opposite order.
    """
    calls = list(_calls(rule, clients=10))
    answers = [call() for call in (reversed(calls) if backwards else calls)]
    return answers[::-1] if backwards else answers


def rule_problems(scenario: Scenario) -> Iterator[Problem]:
    """What shows in a trial of the scenario's own rules, as (key path, message)."""
    for path, rule in rules_in(scenario):
        try:
            adapts = getattr(scenario.strategy, "adapts", ())
            try_rule(rule, scenario.clients.count, adapts)
        except OwnRuleError as error:
            yield path, str(error)
            continue
        if isinstance(rule, Selection) and "expected_seconds" in _read_by(rule, scenario):
            sections = scenario.clients, scenario.server, scenario.training
            for key in laws_without_a_mean(*sections):
                reads = f"{rule.kind} reads expected_seconds"
                yield path, f"{reads}, {without_a_mean(key, SELECTIONS.noun)}"


def check_rules(scenario: Scenario) -> None:
    """Refuse rules of the user's own that fail in a trial.

    Raises:
        ScenarioError: one line for each.
    """
    found = [f"{'.'.join(path)}: {message}" for path, message in rule_problems(scenario)]
    if found:
        raise ScenarioError("\n".join(found))


def check_on_model(scenario: Scenario, params: Tensor) -> None:
    """Refuse compressors and attacks of the user's own that fail on the run's model.

    Args:
        scenario: the run's.
        params: shape (P,): the parameters of the initial model; they are not changed.

    Raises:
        ScenarioError: one line for each.
    """
    found = []
    for path, rule in rules_in(scenario):
        try:
            if isinstance(rule, Compressor):
                bytes_of(rule, len(params))
                called(rule, COMPRESSORS, params.clone(), _draws(0))
            elif isinstance(rule, Attack) and type(rule).falsifies():
                called(rule, ATTACKS, 0.01 * params, params.clone(), _draws(0))
        except OwnRuleError as error:
            found.append(f"{'.'.join(path)}: {error}")
    if found:
        raise ScenarioError("\n".join(found))


def rule_obstacle(scenario: Scenario) -> str | None:
    """What in the scenario's own rules is not portable, in words; None if nothing is."""
    with arithmetic_of(portable=True):
        for path, rule in rules_in(scenario):
            try:
                try_rule(rule, scenario.clients.count)
            except NotPortableRule as error:
                return f"{'.'.join(path)}: {str(error).removesuffix(f'; {ADVICE}')}"
            except NotPortable as error:
                return f"{'.'.join(path)}: {rule.kind} uses {error}"
            except OwnRuleError:  # it is told elsewhere
                continue
    return None


def _kind_of(rule: Rule) -> RuleKind | None:
    kinds = (SELECTIONS, STALENESS_WEIGHTS, CONTROLLERS, COMPRESSORS, ATTACKS)
    return next((kind for kind in kinds if isinstance(rule, kind.base)), None)


def _calls(
    rule: Rule, clients: int, settings: Collection[str] = SETTINGS
) -> Iterator[Callable[[], Any]]:
    """Calls of the rule with small inputs; each checks what the rule gives, and returns it."""
    if isinstance(rule, Selection):
        yield from _choices(rule, clients)
    elif isinstance(rule, StalenessWeight):
        for staleness in _STALENESS:
            yield partial(_weight, rule, staleness)
    elif isinstance(rule, Controller):
        for decisions in (1, len(_INTERVALS)):
            yield partial(_decisions, rule, decisions, clients, settings)
    elif isinstance(rule, Compressor):
        for count in _NUMBERS:
            yield partial(bytes_of, rule, count)
            for vector in _vectors(count):
                yield partial(_vector, rule, COMPRESSORS, vector)
    elif isinstance(rule, Attack) and type(rule).falsifies():
        for count in _NUMBERS:
            for vector in _vectors(count):
                yield partial(_vector, rule, ATTACKS, vector, torch.linspace(-1, 1, count))


def _choices(rule: Selection, clients: int) -> Iterator[Callable[[], list[int]]]:
    for number in _CANDIDATES:
        m = min(number, clients)
        indices = np.arange(m) * (clients // m)
        heard = np.arange(m, dtype=float)
        heard[::2] = np.nan
        states: list[dict[str, Any]] = [
            {"choice": 0},
            {"choice": 3, "chosen": np.arange(m), "seconds": 1 + heard, "loss": heard},
        ]
        for known in states:
            known |= {"samples": 1 + np.arange(m), "expected_seconds": 1.0 + np.arange(m)[::-1]}
            for n in sorted({1, -(-m // 2), m}):
                yield partial(_choice, rule, n, indices, known)


def _choice(rule: Selection, n: int, indices: Any, known: dict[str, Any]) -> list[int]:
    return chosen_by(rule, n, _candidates(rule, indices, known), _draws(n))


def _candidates(
    rule: Selection, indices: Any, known: dict[str, Any], read_names: set[str] | None = None
) -> Candidates:
    """Candidates of which the loss may be read only if the rule declares it.

    What is read of them is noted in ``read_names``.
    """
    given = Candidates.of(indices, **known)

    def read(name: str) -> Any:
        if name == "loss" and not rule.reads_results:
            raise loss_is_closed(rule)
        if read_names is not None:
            read_names.add(name)
        return getattr(given, name)

    return Candidates(given.clients, given.choice, read)


def _read_by(rule: Selection, scenario: Scenario) -> set[str]:
    """What a selection reads of candidates."""
    names: set[str] = set()
    clients = np.arange(min(3, scenario.clients.count))
    for choice in range(2):
        chosen_by(rule, 1, _candidates(rule, clients, {"choice": choice}, names), _draws(1))
    return names


def _weight(rule: StalenessWeight, staleness: int) -> float:
    noun, hook = STALENESS_WEIGHTS.noun, STALENESS_WEIGHTS.hook
    with code_of_rule(rule, noun, hook):
        weight = rule(staleness)
    if isinstance(weight, bool) or not isinstance(weight, int | float | np.number):
        what = f"returned a {type(weight).__name__}; expected a number"
        raise refusal(rule, noun, hook, what)
    if not (math.isfinite(weight) and weight >= 0):
        what = (
            f"returned {weight} for a staleness of {staleness}; expected a finite number, 0 or more"
        )
        raise refusal(rule, noun, hook, what)
    return float(weight)


def _decisions(
    rule: Controller, number: int, clients: int, settings: Collection[str]
) -> list[Decision]:
    """What a controller decides one interval after the other."""
    begin = {"concurrency": -(-clients // 2), "buffer_size": 3}
    now = {name: begin[name] for name in settings}
    found: list[Decision] = []
    for k in range(number):
        memory = found[-1].memory if found else {}
        known: dict[str, Any] = {**_INTERVALS[k], **now}
        observation = Observation(
            number=k, version=k + 1, now=10.0 * k, clients=clients, memory=memory, **known
        )
        found.append(decided_by(rule, observation))
        now = {name: getattr(found[-1], name) for name in settings}
    return found


def _vector(rule: Rule, kind: RuleKind, *values: Tensor) -> Tensor:
    kept = [value.clone() for value in values]
    found = called(rule, kind, *values, _draws(len(values[0])))
    if not all(map(torch.equal, values, kept)):
        what = "changed a tensor that it was given; expected a new tensor"
        raise refusal(rule, kind.noun, kind.hook, what)
    if not torch.isfinite(found).all():
        what = f"returned {_first_not_finite(found)}; expected finite numbers"
        raise refusal(rule, kind.noun, kind.hook, what)
    return found


def _first_not_finite(vector: Tensor) -> float:
    return float(vector[~torch.isfinite(vector)][0])


def _vectors(count: int) -> tuple[Tensor, Tensor]:
    """A vector as an update may be, and one of zeros."""
    draws = Streams(0).generator("trial", 0, count)
    drawn = draws.standard_normal(count, dtype=np.float32) * np.float32(0.01)
    return torch.from_numpy(drawn), torch.zeros(count)


def _draws(k: int) -> np.random.Generator:
    return Streams(0).generator("trial", 1, k)
