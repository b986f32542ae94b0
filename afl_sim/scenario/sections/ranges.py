"""The ranges of a design's ``vary``: how they are written, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from afl_sim.scenario.wording import hint, show

RANGES: Final = ("choices", "integers", "numbers")
"""The keys that make a block a range; a block of settings has none of them."""

_RANGE_KEYS: Final = (*RANGES, "log")


def is_range(value: Any) -> bool:
    """Whether a value of ``vary`` is a range, and not a block of settings."""
    return isinstance(value, Mapping) and any(key in value for key in RANGES)


def problems(value: Any, path: str) -> Iterator[str]:
    """What is wrong with the ranges in a value of ``vary``.

    Args:
        value: a list of choices, in which ranges may lie, or a range.
        path: its dotted key.
    """
    if is_range(value):
        yield from _range_problems(value, path)
    elif isinstance(value, list | tuple):
        if not value:
            yield f"{path}: got an empty list, so there is nothing to choose from"
        for i, entry in enumerate(value):
            yield from _inside(entry, f"{path}.{i}")


def _inside(value: Any, path: str) -> Iterator[str]:
    """What is wrong with the ranges inside a choice: lists there are values, not choices."""
    if is_range(value):
        yield from _range_problems(value, path)
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _inside(entry, f"{path}.{key}")


def _range_problems(value: Mapping[str, Any], path: str) -> Iterator[str]:
    kinds = [key for key in RANGES if key in value]
    for key in value:
        if key not in _RANGE_KEYS:
            known = ", ".join(_RANGE_KEYS)
            yield f"{path}.{key}: unknown key; expected {known}{hint(str(key), _RANGE_KEYS)}"
            return
    if len(kinds) > 1:
        yield f"{path}: has both {kinds[0]} and {kinds[1]}; expected one of them"
        return
    (kind,) = kinds
    ends, log = value[kind], value.get("log", False)
    if kind == "choices":
        if not isinstance(ends, list | tuple) or not ends:
            yield f"{path}.choices: got {show(ends)}; expected a list with at least one value"
        elif "log" in value:
            yield f"{path}.log: choices have no scale; expected integers or numbers beside it"
        else:
            for i, entry in enumerate(ends):
                yield from _inside(entry, f"{path}.{i}")
        return
    whole = kind == "integers"
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        yield f"{path}.{kind}: got {show(ends)}; expected [LOW, HIGH]"
        return
    for i, end in enumerate(ends):
        if not _is_number(end):
            yield f"{path}.{kind}.{i}: got {show(end)}; expected a number"
            return
    low, high = ends
    if whole and any(not float(end).is_integer() for end in ends):
        yield f"{path}.{kind}: got {show(low)} and {show(high)}; expected whole numbers"
    elif low > high:
        yield f"{path}.{kind}: got {low:g} and {high:g}, an empty range; expected the lower first"
    elif not isinstance(log, bool):
        yield f"{path}.log: got {show(log)}; expected true or false"
    elif log and low <= 0:
        yield f"{path}.{kind}: got {low:g}; expected numbers above 0 on a logarithmic scale"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
