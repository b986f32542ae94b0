"""The settings that a study varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from afl_sim.analysis.replications import Group

_ABSENT: Final = object()


@dataclass(frozen=True)
class Swept:
    """A numeric setting that a study varies.

    Attributes:
        key: its dotted key in the scenario.
        values: its value in each group.
    """

    key: str
    values: tuple[float, ...]

    @property
    def name(self) -> str:
        """The last part of the key, as an axis shows it."""
        return self.key.rpartition(".")[2].replace("_", " ")


def flattened(block: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by dotted key; lists stay whole."""
    if not isinstance(block, Mapping):
        return {prefix: block}
    leaves: dict[str, Any] = {}
    for key, value in block.items():
        leaves |= flattened(value, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def swept(members: Sequence[Group]) -> list[Swept]:
    """The numeric settings that vary, that with the most values first.

    A setting that differs only because the kind of its block does (a buffer size between two
    strategies) is not swept: within some kind of strategy it must take two values. Nor is one
    that never changes without another.
    """
    leaves = [flattened(group.settings) for group in members]
    found = []
    for key in dict.fromkeys(key for block in leaves for key in block):
        values = [block.get(key, _ABSENT) for block in leaves]
        if not all(_is_number(value) for value in values):
            continue
        by_kind: dict[Any, set[float]] = {}
        for block, value in zip(leaves, values, strict=True):
            by_kind.setdefault(block.get("strategy.kind"), set()).add(float(value))
        if max(map(len, by_kind.values())) > 1:
            found.append(Swept(key, tuple(map(float, values))))
    found.sort(key=lambda one: -len(set(one.values)))
    moves = [_partition(one) for one in found]
    return [
        one
        for one, move in zip(found, moves, strict=True)
        if moves.count(move) == 1
        and any(len(places) > 1 for places in series(members, [one]).values())
    ]


def series(members: Sequence[Group], along: Sequence[Swept]) -> dict[str, list[int]]:
    """The groups that share every setting but the swept ones: their places, by a short label."""
    without = {one.key for one in along}
    rest = []
    for group in members:
        leaves = flattened(group.settings)
        rest.append({key: value for key, value in leaves.items() if key not in without})
    varying = [
        key
        for key in dict.fromkeys(key for block in rest for key in block)
        if len({repr(block.get(key, _ABSENT)) for block in rest}) > 1
    ]
    if "strategy.kind" in varying:  # its other settings go with it, unless they vary within it
        varying = [
            key
            for key in varying
            if key == "strategy.kind"
            or not key.startswith("strategy.")
            or _varies_within_a_kind(rest, key)
        ]
    found: dict[str, list[int]] = {}
    for place, block in enumerate(rest):
        found.setdefault(
            ", ".join(_said(key, block) for key in varying if key in block), []
        ).append(place)
    return found


def _varies_within_a_kind(blocks: Sequence[Mapping[str, Any]], key: str) -> bool:
    by_kind: dict[Any, set[str]] = {}
    for block in blocks:
        by_kind.setdefault(block["strategy.kind"], set()).add(repr(block.get(key)))
    return max(map(len, by_kind.values())) > 1


def _said(key: str, block: Mapping[str, Any]) -> str:
    value = block[key]
    if key.endswith(".kind"):
        return str(value)
    return f"{key.rpartition('.')[2].replace('_', ' ')} {value}"


def _partition(one: Swept) -> tuple[int, ...]:
    """Which groups have the same value."""
    seen: dict[float, int] = {}
    return tuple(seen.setdefault(value, len(seen)) for value in one.values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
