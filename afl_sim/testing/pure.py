"""Whether the hooks of a strategy are pure functions: by comparison with copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any

import torch

from afl_sim.errors import StrategyError
from afl_sim.strategies.base import Strategy
from afl_sim.testing.comparing import same
from afl_sim.testing.toy import Case, Whimsical, calls_of, executor_of, learner_of, turn

HOOKS = (
    "initial_state",
    "aggregate",
    "direction",
    "refused",
    "starting_point",
    "correction",
    "second_point",
    "refresh_weight",
    "proximal_factor",
    "client_state",
)
"""The pure functions of a strategy."""
_VERSIONS = 12


def aggregate_is_pure(case: Case) -> None:
    """It changes no argument, gives the same bits twice, and needs nothing but its arguments."""
    before = case.strategy.model_dump()
    with _refusals_as_failures():
        calls = calls_of(case)
    for call in calls:
        arguments = (call.params, call.state, call.updates, call.context)
        kept = copy.deepcopy(arguments)
        once = case.strategy.aggregate(*arguments)
        assert same(arguments, kept), "aggregate changes its arguments"
        twin = pickle.loads(pickle.dumps(case.strategy))
        assert same(once, twin.aggregate(*kept)), "aggregate depends on more than its arguments"
        params = once[0]
        assert params.shape == call.params.shape, f"the model has the shape {tuple(params.shape)}"
        assert params.dtype == torch.float32, f"the model is {params.dtype}"
        given = [call.params, *(t for u in call.updates for t in (u.params, u.delta))]
        assert params.data_ptr() not in {t.data_ptr() for t in given}, (
            "the returned model is one of the arguments"
        )
    assert case.strategy.model_dump() == before, "aggregate changes the strategy"


def hooks_are_pure(case: Case) -> None:
    """Each hook changes no argument, whatever way there is to, and gives the same bits twice."""
    case = replace(case, versions=min(case.versions, _VERSIONS))
    found: list[str] = []
    cls: type[Strategy] = type(case.strategy)

    def looked_at(hook: str) -> Callable[..., Any]:
        method = getattr(cls, hook)

        @wraps(method)
        def call(self: Strategy, *arguments: Any, **named: Any) -> Any:
            kept, kept_named = copy.deepcopy((arguments, named))
            value = method(self, *arguments, **named)
            if not same((arguments, named), (kept, kept_named)):
                found.append(f"{hook} changes its arguments")
            elif not same(value, method(self, *kept, **kept_named)):
                found.append(f"{hook} depends on more than its arguments")
            return value

        return call

    own = [hook for hook in HOOKS if getattr(cls, hook) is not getattr(Strategy, hook)]
    methods = {hook: looked_at(hook) for hook in own} | {"__module__": cls.__module__}
    watched: type[Strategy] = type(cls.__name__, (cls,), methods)
    strategy = watched.model_validate(case.strategy.model_dump())
    for guard in (None, Whimsical()):
        learner = learner_of(case, executor_of(case.clients, "spread"), strategy, guard)
        with _refusals_as_failures():
            turn(case, learner, strategy=strategy)
        assert not found, found[0]


@contextmanager
def _refusals_as_failures() -> Iterator[None]:
    """A run that a hook's change of its arguments ends is a check that fails."""
    try:
        yield
    except StrategyError as error:
        raise AssertionError(str(error)) from error
