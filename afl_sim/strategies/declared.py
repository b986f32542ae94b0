"""What a strategy says of itself, in class attributes and properties: whether it can be so."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, Final

from afl_sim.scenario.sections.controllers import SETTINGS
from afl_sim.scenario.wording import show
from afl_sim.strategies.inputs import Public
from afl_sim.user_code import home_of, told

_YES_OR_NO: Final = (
    *("gradient", "refreshes", "queues_at_clients", "polls", "assigns_steps", "gives_steps"),
    *("reads_timing", "needs_mean_times", "needs_unbiased_updates", "waits_for_all"),
    *("waits_again", "reads_results", "buffers_by_rule", "reads_client_tests", "plain_sgd"),
)
_RECEIVED: Final = ("direction", "nothing")
_SOURCES: Final = ("noise", "validation")


def misdeclared(strategy: Any) -> str | None:
    """What is wrong with what a strategy says of itself, in one line; None if nothing is.

    Args:
        strategy: a `Strategy` whose fields are valid.
    """
    for name, (fits, expected) in _EXPECTED.items():
        try:
            value = getattr(strategy, name)
        except Exception as error:  # a property of the user's own
            return f"its {name} raised {told(error, home_of(strategy))}"
        if not fits(value):
            return f"its {name} is {show(value)}; expected {expected}"
    missing = [name for name in strategy.adapts if not hasattr(strategy, name)]
    if missing:
        return f"its adapts names {missing[0]}, which it has not; expected a setting of its own"
    return None


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def _is_factor(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_public(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, Public) and _is_count(value.samples) and value.source in _SOURCES


def _is_limit(value: Any) -> bool:
    if value is None:
        return True
    is_pair = isinstance(value, tuple) and len(value) == 2
    return is_pair and isinstance(value[0], str) and _is_number(value[1])


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_settings(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(name in SETTINGS for name in value)


_EXPECTED: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    **dict.fromkeys(_YES_OR_NO, (lambda value: isinstance(value, bool), "True or False")),
    "gradients_per_step": (_is_count, "a whole number, 1 or more"),
    "adapts": (_are_settings, f"a tuple of some of {', '.join(map(repr, SETTINGS))}"),
    "optimizer_gets": (lambda value: value in _RECEIVED, "'direction' or 'nothing'"),
    "results_key": (lambda value: isinstance(value, str), "the name of a setting"),
    "proximal": (_is_factor, "a finite number, 0 or more"),
    "lr_scale": (_is_factor, "a finite number, 0 or more"),
    "public_batch": (_is_public, "Public(samples, 'noise'), Public(samples, 'validation') or None"),
    "task_limit": (_is_limit, "a setting and its seconds, such as ('deadline', 30.0), or None"),
}
"""By name: whether a value fits, and what is expected."""
