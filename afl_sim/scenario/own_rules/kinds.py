"""A kind of rule that a user can write, and how rules of that kind are found."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from afl_sim.errors import ScenarioError
from afl_sim.scenario.own_rules.finding import installed, load
from afl_sim.scenario.own_rules.functions import rule_of
from afl_sim.scenario.own_rules.rule import Rule
from afl_sim.user_code import place_of

_made: dict[tuple[str, str], tuple[Any, type[Rule]]] = {}  # of functions, by group and path


@dataclass(frozen=True)
class RuleKind:
    """What rules of a kind have in common.

    Attributes:
        noun: what one is called in messages, such as "selection".
        group: the group of entry points under which packages offer such rules.
        base: the class of which a user's class is a subclass.
        hook: the method that it must have, and that a user's function stands for.
        filled: names of the values that the method is called with, in order, without ``self``.
        more: further methods that it must have. Then a function alone is not enough.
        instead: methods any of which it may have instead of ``hook``.
    """

    noun: str
    group: str
    base: type[Rule]
    hook: str
    filled: tuple[str, ...]
    more: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()

    def named(self) -> dict[str, EntryPoint]:
        """The entry points of installed packages, by name; nothing is imported."""
        return installed(self.group)

    def find(self, name: str) -> type[Rule] | None:
        """The class of a rule; None if no installed package has a rule of this name.

        Args:
            name: ``package.module:name``, or the name of an entry point.

        Raises:
            ScenarioError: it cannot be imported, or is no rule of this kind.
        """
        if ":" in name:
            return self.class_of(load(name, self.noun), name)
        entry = self.named().get(name)
        if entry is None:
            return None
        found = self.class_of(load(entry.value, self.noun), entry.value)
        found.registered_name = name
        return found

    def class_of(self, found: object, path: str) -> type[Rule]:
        """The class of a rule that is a class or a function.

        Args:
            found: a subclass of ``base``, or a function where that is enough.
            path: how the scenario names it.

        Raises:
            ScenarioError: it is neither, or it lacks a method.
        """
        if isinstance(found, type) and issubclass(found, self.base):
            self._check_methods(found, path)
            return found
        if not self.more and callable(found) and not isinstance(found, type):
            return self._of_function(found, path)
        raise ScenarioError(f"{path!r} is {_described(found)}; expected {self.expected}")

    def rule_of(self, function: Callable[..., Any], **settings: Any) -> Rule:
        """A rule made of a function, as a scenario would make it.

        Example:
            >>> from afl_sim.strategies.toolkit.staleness import STALENESS_WEIGHTS
            >>> def halved(staleness: int, *, every: int = 1) -> float:
            ...     return 0.5 ** (staleness // every)
            >>> weight = STALENESS_WEIGHTS.rule_of(halved, every=2)
            >>> weight(4)
            0.25
        """
        path = f"{function.__module__}:{function.__qualname__}"
        return self.class_of(function, path).model_validate({"kind": path, **settings})

    @property
    def expected(self) -> str:
        """What a user has to write, in words."""
        own = f"a subclass of afl_sim.{self.base.__name__}"
        return own if self.more else f"{own}, or a function of ({', '.join(self.filled)})"

    def _of_function(self, function: Callable[..., Any], path: str) -> type[Rule]:
        before, made = _made.get((self.group, path), (None, None))
        if made is None or before is not function:  # a notebook may define it again
            made = rule_of(function, self.filled, self.hook, self.base, path)
            made.__reduce__ = self._reduce  # type: ignore[method-assign, assignment]
            _made[self.group, path] = function, made
        return made

    @property
    def _reduce(self) -> Callable[[Rule], Any]:
        """How a rule made of a function is pickled: by its name, as its class has no place."""
        kind = self

        def reduce(rule: Rule) -> Any:
            return _again, (kind, rule.model_dump())

        return reduce

    def _check_methods(self, found: type[Rule], path: str) -> None:
        if not found.model_config.get("frozen") or found.__private_attributes__:
            raise ScenarioError(
                f"{path!r} can change while it is used; expected a frozen class without private "
                "attributes"
            )
        if any(getattr(found, name) is not getattr(self.base, name) for name in self.instead):
            return
        for name in (self.hook, *self.more):
            if getattr(found, name) is getattr(self.base, name):
                call = f"{name}(self, {', '.join(self.filled)})" if name == self.hook else name
                raise ScenarioError(f"{path!r} has no method {name}; expected {call}")
        try:
            inspect.signature(getattr(found, self.hook)).bind(None, *self.filled)
        except TypeError as error:
            method = getattr(found, self.hook)
            raise ScenarioError(
                f"{path}: {self.hook}{inspect.signature(method)}: {error}; expected "
                f"{self.hook}(self, {', '.join(self.filled)}){place_of(method)}"
            ) from None


def _again(kind: RuleKind, block: dict[str, Any]) -> Rule:
    found = kind.find(block["kind"])
    assert found is not None
    return found.model_validate(block)


def _described(thing: object) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    return f"of type {type(thing).__name__}"
