"""A rule made of a pure function: the parameters that the rule does not fill are its settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

from pydantic import create_model
from pydantic.errors import PydanticUserError

from afl_sim.errors import ScenarioError
from afl_sim.scenario.own_rules.rule import Rule
from afl_sim.user_code import place_of

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def settings_of(
    function: Callable[..., Any], filled: Sequence[str], base: type[Rule], path: str
) -> dict[str, Any]:
    """The settings of a function, as fields for pydantic.

    Args:
        function: the user's.
        filled: names of the values that it is called with, in order.
        base: the class of such rules.
        path: how the scenario names the function, for messages.

    Raises:
        ScenarioError: the function does not take these values, or has a parameter that cannot be
            a setting.
    """
    call = f"{path}({', '.join(filled)})"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        raise ScenarioError(f"{path} does not say what it takes; expected to call {call}") from None
    parameters = list(signature.parameters.values())
    given, others = parameters[: len(filled)], parameters[len(filled) :]
    at = place_of(function)
    if len(given) < len(filled) or any(
        each.kind not in (inspect.Parameter.POSITIONAL_ONLY, _NAMED[0]) for each in given
    ):
        raise ScenarioError(f"{path} takes {signature}; expected to call {call}{at}")
    try:
        types = get_type_hints(function, include_extras=True)
    except Exception as error:
        raise ScenarioError(f"{path}: its annotations cannot be read: {error}{at}") from error
    fields: dict[str, Any] = {}
    for each in others:
        if each.kind not in _NAMED:
            raise ScenarioError(
                f"{path}: the parameter {each} cannot be a setting; expected parameters that "
                f"have names, which are keys in the scenario{at}"
            )
        if each.name.startswith("_") or hasattr(base, each.name) or each.name in base.model_fields:
            raise ScenarioError(
                f"{path}: a setting cannot be called {each.name!r}; expected another name{at}"
            )
        needed = each.default is inspect.Parameter.empty
        kind = types.get(each.name, None if needed or each.default is None else type(each.default))
        if kind is None:
            raise ScenarioError(
                f"{path}: the setting {each.name!r} has no type; expected an annotation, as in "
                f"{each.name}: float{at}"
            )
        fields[each.name] = (kind, ... if needed else each.default)
    return fields


def rule_of(
    function: Callable[..., Any], filled: Sequence[str], hook: str, base: type[Rule], path: str
) -> type[Rule]:
    """A subclass of ``base`` whose method ``hook`` calls the function with the rule's settings.

    Raises:
        ScenarioError: as `settings_of`.
    """
    fields = settings_of(function, filled, base, path)
    names = tuple(fields)

    def method(self: Rule, *values: Any) -> Any:
        return function(*values, **{name: getattr(self, name) for name in names})

    method.__wrapped__ = function  # type: ignore[attr-defined]
    try:
        made = create_model(
            getattr(function, "__name__", "function"),
            __base__=base,
            __module__=getattr(function, "__module__", None) or path.partition(":")[0],
            __doc__=inspect.getdoc(function),
            **fields,
        )
    except PydanticUserError as error:
        what = str(error).partition("\n")[0]
        raise ScenarioError(f"{path}: its settings: {what}{place_of(function)}") from error
    setattr(made, hook, method)
    return made
