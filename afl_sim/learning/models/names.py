"""Patterns over the names of a model's tensors, such as ``head.*``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from afl_sim.errors import ScenarioError
from afl_sim.scenario.wording import hint


def matching(
    patterns: Sequence[str], names: Iterable[str], key: str, what: str = "parameter"
) -> set[str]:
    """The names that match any of the patterns, in which ``*`` stands for any characters.

    Args:
        patterns: as `fnmatch.fnmatchcase` takes them.
        names: of tensors.
        key: the scenario's key, for the message.
        what: what the names are of.

    Raises:
        ScenarioError: a pattern matches nothing.
    """
    names = list(names)
    found: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            raise ScenarioError(
                f"{key}: {pattern!r} matches no {what}; expected a pattern such as "
                f"{_examples(names)}{hint(pattern, _patterns(names))}"
            )
        found |= matched
    return found


def _patterns(names: Sequence[str]) -> list[str]:
    """The names, and patterns for all that is in a layer."""
    parts = [name.split(".") for name in names]
    layers = (".".join(each[:end]) + ".*" for each in parts for end in range(1, len(each)))
    return list(dict.fromkeys((*layers, *names)))


def _examples(names: Sequence[str]) -> str:
    first, *_, last = (*names, *names)
    *layer, own = last.split(".")
    return f"{first} or {'.'.join((*layer[:1], '*')) if layer else own}"
