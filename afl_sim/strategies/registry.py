"""Names of strategies: built-in, of installed packages, and ``package.module:Class``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from afl_sim.errors import ScenarioError
from afl_sim.scenario.own_rules import load
from afl_sim.scenario.own_rules.finding import entry_points
from afl_sim.strategies.base import Strategy
from afl_sim.user_code import reason

ENTRY_POINTS = "afl_sim.strategies"

S = TypeVar("S", bound=type[Strategy])

_registered: dict[str, type[Strategy]] = {}


def register(name: str) -> Callable[[S], S]:
    """A decorator that names a strategy, so that a scenario can say ``strategy: {kind: name}``.

    The name exists once the module of the class has been imported.

    Example:
        >>> from afl_sim import Strategy, register
        >>> @register("replace")
        ... class Replace(Strategy):
        ...     def schedule(self, server):
        ...         server.dispatch(server.workers(server.clients))
        ...         while True:
        ...             update = yield server.arrival()
        ...             yield server.aggregate([update])
        ...             server.dispatch(update.client)
        ...
        ...     def aggregate(self, params, state, updates, context):
        ...         return updates[-1].params, state
        >>> Replace().kind
        'replace'

    Raises:
        ScenarioError: another strategy has this name.
    """

    def name_it(cls: S) -> S:
        before = _registered.get(name, cls)
        if _path(before) != _path(cls):  # an equal path means that a module is imported again
            raise ScenarioError(
                f"two strategies are called {name!r}: {_path(before)} and {_path(cls)}; "
                "give one of them another name"
            )
        cls.registered_name = name
        _registered[name] = cls
        return cls

    return name_it


def strategies() -> dict[str, type[Strategy]]:
    """All strategies that have a name, by name: built-in, registered, or of an entry point.

    Example:
        >>> from afl_sim.strategies import strategies
        >>> strategies()["fedbuff"].__name__
        'FedBuff'

    Raises:
        ScenarioError: an entry point cannot be imported, or is not a strategy.
    """
    found = dict(_registered)
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name not in found:
            try:
                loaded = entry.load()
            # An installed package may raise anything when it is imported.
            except (Exception, SystemExit) as error:
                raise ScenarioError(
                    f"cannot import strategy {entry.name!r} ({entry.value}): {reason(error)}"
                ) from error
            found[entry.name] = _strategy_class(loaded, entry.value)
            found[entry.name].registered_name = entry.name
    return found


def resolve_strategy(path: str) -> type[Strategy]:
    """The class that ``package.module:Class`` names.

    Raises:
        ScenarioError: it cannot be imported, or is not a strategy.
    """
    return _strategy_class(load(path, "strategy"), path)


def _path(cls: type[Strategy]) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _strategy_class(found: object, path: str) -> type[Strategy]:
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise ScenarioError(f"{path!r} is not a subclass of afl_sim.Strategy")
    return found
