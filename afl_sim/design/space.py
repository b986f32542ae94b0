"""What may vary: the points of a design, and the settings that each of them stands for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from afl_sim.scenario.naming import SHORT
from afl_sim.scenario.overrides import put
from afl_sim.scenario.yaml.nodes import Node, plain

Point = Mapping[str, Any]
"""The value of each parameter that a candidate has; a choice among blocks by its label."""

STRATEGY = "strategy"
_DIGITS = 3  # of a number that is drawn: more say nothing, and cannot be read


class Suggests(Protocol):
    """What gives the values of a point: a trial of Optuna."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = ...) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = ...) -> float: ...


@dataclass(frozen=True)
class Range:
    """A setting that takes the numbers of an interval.

    Attributes:
        name: of the parameter.
        keys: where the value goes, from the place of the setting that holds it.
        low, high: the ends, which are allowed.
        whole: whether it takes whole numbers only.
        log: whether it is drawn on a logarithmic scale.
        where: where it was written.
    """

    name: str
    keys: str
    low: float
    high: float
    whole: bool
    log: bool
    where: str

    @property
    def size(self) -> float:
        """The number of values; infinite unless they are whole, or only one."""
        if self.whole:
            return self.high - self.low + 1
        return 1 if self.low == self.high else math.inf

    def points(self) -> Iterator[dict[str, Any]]:
        """Every value, ascending."""
        for value in range(round(self.low), round(self.high) + 1) if self.whole else (self.low,):
            yield {self.name: value}

    def suggest(self, trial: Suggests) -> dict[str, Any]:
        """A value that a trial gives."""
        if self.whole:
            low, high = round(self.low), round(self.high)
            return {self.name: trial.suggest_int(self.name, low, high, log=self.log)}
        drawn = trial.suggest_float(self.name, self.low, self.high, log=self.log)
        rounded = float(f"{drawn:.{_DIGITS}g}")
        return {self.name: min(max(rounded, self.low), self.high)}

    def node(self, point: Point) -> Node:
        """The value that a point has here."""
        return Node(point[self.name], self.where)

    def ends(self) -> Iterator[dict[str, Any]]:
        """Values that show whether all are allowed."""
        for end in dict.fromkeys((self.low, self.high)):
            yield {self.name: round(end) if self.whole else end}

    def parts(self, point: Point) -> Iterator[tuple[str, str]]:
        """The name and the value for a title."""
        yield _short(self.name), f"{point[self.name]:g}"


@dataclass(frozen=True)
class Option:
    """One of several choices.

    Attributes:
        value: what stands for it in a point.
        title: names it.
        node: its settings; inner parameters are missing.
        inner: the parameters among its settings.
    """

    value: Any
    title: str
    node: Node
    inner: tuple[Parameter, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A setting that is one of several values or blocks.

    Attributes:
        name, keys: as of a `Range`.
        options: what can be chosen.
        blocks: whether the options are blocks, whose titles say enough.
    """

    name: str
    keys: str
    options: tuple[Option, ...]
    blocks: bool

    @property
    def size(self) -> float:
        """The number of different points."""
        return sum(math.prod(inner.size for inner in option.inner) for option in self.options)

    def points(self) -> Iterator[dict[str, Any]]:
        """Every point, in the order in which the options were written."""
        for option in self.options:
            for rest in product(option.inner):
                yield {self.name: option.value, **rest}

    def suggest(self, trial: Suggests) -> dict[str, Any]:
        """A point that a trial gives."""
        chosen = trial.suggest_categorical(self.name, [option.value for option in self.options])
        point = {self.name: chosen}
        for inner in self._option(point).inner:
            point |= inner.suggest(trial)
        return point

    def node(self, point: Point) -> Node:
        """The settings that a point has here."""
        option = self._option(point)
        node = option.node
        for inner in option.inner:
            node = put(node, inner.keys, inner.node(point), option.node.where)
        return node

    def ends(self) -> Iterator[dict[str, Any]]:
        """Points that show whether all are allowed: every option, and every end inside it."""
        for option in self.options:
            first = {self.name: option.value}
            for inner in option.inner:
                first |= next(inner.ends())
            yield first
            for inner in option.inner:
                for end in itertools.islice(inner.ends(), 1, None):
                    yield {**first, **end}

    def parts(self, point: Point) -> Iterator[tuple[str, str]]:
        """The names and the values for a title; of a block the title alone."""
        option = self._option(point)
        yield ("" if self.blocks else _short(self.name)), option.title
        for inner in option.inner:
            yield from inner.parts(point)

    def _option(self, point: Point) -> Option:
        return next(option for option in self.options if option.value == point[self.name])


Parameter = Range | Choice


@dataclass(frozen=True)
class Space:
    """All points.

    Attributes:
        parameters: each with the dotted key of the scenario that it sets.
        unread: by strategy that can be chosen, the keys among these that have no effect beside it.
            Its points leave them as they are in the file.
    """

    parameters: tuple[Parameter, ...]
    unread: Mapping[Any, Collection[str]] = field(default_factory=dict)

    @property
    def size(self) -> float:
        """The number of points; infinite if a setting takes any number of an interval."""
        if not self.unread:
            return math.prod(parameter.size for parameter in self.parameters)
        strategy = next(each for each in self.parameters if each.keys == STRATEGY)
        assert isinstance(strategy, Choice)
        rest = [each for each in self.parameters if each is not strategy]
        return sum(
            math.prod(inner.size for inner in option.inner)
            * math.prod(
                each.size for each in rest if each.keys not in self.unread.get(option.value, ())
            )
            for option in strategy.options
        )

    def parameters_of(self, point: Point) -> list[Parameter]:
        """Those that have an effect in a point."""
        unread = self.unread.get(point.get(STRATEGY), ()) if self.unread else ()
        return [each for each in self.parameters if each.keys not in unread]

    def points(self) -> Iterator[dict[str, Any]]:
        """Every point of a finite space."""
        if not self.unread:
            yield from product(self.parameters)
            return
        seen = set()
        for whole in product(self.parameters):
            point = self._read(whole)
            if (key := repr(sorted(point.items(), key=repr))) not in seen:
                seen.add(key)
                yield point

    def suggest(self, trial: Suggests) -> dict[str, Any]:
        """The point that a trial gives."""
        point: dict[str, Any] = {}
        first = sorted(self.parameters, key=lambda each: each.keys != STRATEGY)
        for parameter in first if self.unread else self.parameters:
            if parameter in self.parameters_of(point):
                point |= parameter.suggest(trial)
        return point

    def _read(self, point: Point) -> dict[str, Any]:
        """A point without what has no effect in it."""
        names = [each.name for each in self.parameters_of(point)]
        return {
            name: value
            for name, value in point.items()
            if any(name == known or name.startswith(f"{known}.") for known in names)
        }

    def ends(self) -> Iterator[dict[str, Any]]:
        """Points in which each parameter takes every value that might not be allowed, in turn."""
        first: dict[str, Any] = {}
        for parameter in self.parameters:
            first |= next(parameter.ends())
        yield first
        for parameter in self.parameters:
            own = {name for end in parameter.ends() for name in end}
            rest = {name: value for name, value in first.items() if name not in own}
            for end in itertools.islice(parameter.ends(), 1, None):
                yield {**rest, **end}

    def tree(self, base: Node, point: Point) -> Node:
        """The file in which the settings are those of a point.

        Raises:
            CannotSet: a key leads nowhere.
        """
        for parameter in self.parameters_of(point):
            node = parameter.node(point)
            base = put(base, parameter.keys, node, node.where)
        return base

    def settings(self, point: Point) -> dict[str, Any]:
        """The settings of a point by their dotted keys, as plain values."""
        return {
            parameter.keys: plain(parameter.node(point)) for parameter in self.parameters_of(point)
        }

    def title(self, point: Point) -> str:
        """What a point is called: its blocks, and the other values by the last parts of keys."""
        parts = [part for each in self.parameters_of(point) for part in each.parts(point)]
        blocks = [value for name, value in parts if not name]
        values = [f"{name}={value}" for name, value in parts if name]
        return ", ".join([" ".join([*blocks, *values[:1]]), *values[1:]])


def product(parameters: Sequence[Parameter]) -> Iterator[dict[str, Any]]:
    """Every combination of the points of some parameters; the last one changes fastest."""
    if not parameters:
        yield {}
        return
    for first in parameters[0].points():
        for rest in product(parameters[1:]):
            yield {**first, **rest}


def _short(name: str) -> str:
    last = name.rpartition(".")[2]
    return SHORT.get(last, last)
