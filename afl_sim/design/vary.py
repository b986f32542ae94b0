"""Reads what may vary in a design: a block of choices and ranges becomes a space of points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from afl_sim.design.space import Choice, Option, Parameter, Range, Space
from afl_sim.scenario.naming import names_of, unique
from afl_sim.scenario.sections.ranges import is_range
from afl_sim.scenario.yaml.nodes import Node, plain

_BLOCKS = ("strategy", "model", "training.optimizer")


def space_of(vary: Mapping[str, Node]) -> Space:
    """The space of a block ``vary``, whose form was checked before.

    Args:
        vary: what is written for each dotted key.
    """
    return Space(tuple(_parameter(keys, keys, node, keys) for keys, node in vary.items()))


def _parameter(name: str, keys: str, node: Node, path: str) -> Parameter:
    content = node.value
    if isinstance(content, dict):
        if "choices" in content:
            return _choice(name, keys, content["choices"], path)
        kind = "integers" if "integers" in content else "numbers"
        low, high = plain(content[kind])
        log = "log" in content and bool(content["log"].value)
        return Range(name, keys, low, high, kind == "integers", log, content[kind].where)
    return _choice(name, keys, node, path)


def _choice(name: str, keys: str, node: Node, path: str) -> Choice:
    assert isinstance(node.value, list)
    written = [
        entry.value.get("label") if isinstance(entry.value, dict) else None for entry in node.value
    ]
    bare = [_without(entry, "label") for entry in node.value]
    fixed = [_fixed(entry) for entry in bare]
    kinds = names_of(keys if keys == path else path, fixed)
    labels = unique(
        str(label.value) if label is not None else found.label
        for label, found in zip(written, kinds, strict=True)
    )
    options = []
    for entry, settled, label, told, found in zip(bare, fixed, labels, written, kinds, strict=True):
        if isinstance(entry.value, dict | list):
            inner = tuple(_inner(entry, f"{name}.{label}", path))
            title = str(told.value) if told is not None else found.title or label
            options.append(Option(label, title, settled, inner))
        else:
            options.append(Option(entry.value, _text(entry.value), entry))
    return Choice(name, keys, tuple(options), path in _BLOCKS or any(o.inner for o in options))


def _inner(node: Node, name: str, path: str, above: str = "") -> Iterator[Parameter]:
    """The ranges inside a block."""
    if not isinstance(node.value, dict):
        return
    for key, entry in node.value.items():
        keys = f"{above}.{key}" if above else key
        if is_range(entry.value):
            yield _parameter(f"{name}.{keys}", keys, entry, f"{path}.{keys}")
        else:
            yield from _inner(entry, name, path, keys)


def _fixed(node: Node) -> Node:
    """A block without the ranges inside it."""
    if not isinstance(node.value, dict):
        return node
    kept = {key: _fixed(item) for key, item in node.value.items() if not is_range(item.value)}
    return replace(node, value=kept)


def _without(node: Node, key: str) -> Node:
    if not isinstance(node.value, dict):
        return node
    return replace(node, value={name: item for name, item in node.value.items() if name != key})


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
