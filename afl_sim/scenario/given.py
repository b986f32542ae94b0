"""Settings that are given as Python values, as the nodes of a file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.wording import show
from afl_sim.scenario.yaml.nodes import MAX_DEPTH, Misreading, Node, Unreadable
from afl_sim.scenario.yaml.scalars import half_character

NOWHERE = ""
"""The place of a value that stands in no file."""


class Block(dict[str, Any]):
    """The settings of a block that was made in Python, with the name of its class."""

    def __init__(self, settings: Mapping[str, Any], name: str) -> None:
        super().__init__(settings)
        self.name = name

    def __repr__(self) -> str:
        return f"a block {self.name}"


def plain_value(value: Any) -> Any:
    """A Python value as a file would have it: dictionaries, lists and scalars.

    Tuples are lists, paths are text, and numbers of NumPy are numbers. A block that was made in
    Python is the dictionary of its settings. Any other value stays as it is.
    """
    if isinstance(value, BaseModel):
        return Block(value.model_dump(mode="json", by_alias=True), type(value).__name__)
    if isinstance(value, Mapping):
        return {key: plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()  # of a scalar a number, of an array lists
    return value.form if isinstance(value, Distribution) else value


def given_tree(settings: Mapping[str, Any]) -> tuple[Node, list[Misreading]]:
    """The tree of a file with these settings, and the values that no file can have.

    Raises:
        Unreadable: the blocks are nested too deep.
    """
    found: list[Misreading] = []
    return _node(settings, (), found), found


def _node(value: Any, path: tuple[str | int, ...], found: list[Misreading]) -> Node:
    if len(path) > MAX_DEPTH:
        raise Unreadable(
            [Misreading(NOWHERE, path[:1], f"nested more than {MAX_DEPTH} levels deep")]
        )
    value = value if isinstance(value, Mapping | list | tuple) else plain_value(value)
    if isinstance(value, Mapping):
        entries = {}
        for key, item in value.items():
            if isinstance(key, str):
                entries[key] = _node(item, (*path, key), found)
            else:
                found.append(Misreading(NOWHERE, path, f"a key {show(key)}; expected a word"))
        return Node(entries, NOWHERE)
    if isinstance(value, list | tuple):
        return Node([_node(item, (*path, i), found) for i, item in enumerate(value)], NOWHERE)
    problem = _problem(value)
    if problem is not None:
        found.append(Misreading(NOWHERE, path, problem))
    return Node(None if problem else value, NOWHERE, misread=problem is not None)


def _problem(value: Any) -> str | None:
    """Why no file can have this scalar; None if it can."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    if isinstance(value, int) and abs(value) >= 2**63:
        return "a whole number too large to use; expected less than 2**63"
    if isinstance(value, str) and half_character(value):
        return "contains half of a surrogate pair, which is not a character"
    if value is None or isinstance(value, str | int | float):
        return None
    return f"got {show(value)}; expected text, a number, true or false, a list or a block"
