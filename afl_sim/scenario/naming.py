"""Names of a study's cases: by what they differ in."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from afl_sim.scenario.yaml.nodes import Node

LABEL_LENGTH = 80
_OF_AN_ENTRY = 40  # characters of the label of one entry of a sweep
SHORT = {"buffer_size": "K", "clients_per_round": "m"}
"""Symbols of the papers for keys that are often swept."""
_KINDS = ("strategy", "model", "training.optimizer")


@dataclass(frozen=True, slots=True)
class Name:
    """What a setting is called.

    Attributes:
        label: in the name of a folder, such as ``fedbuff_K-5``.
        title: in figures and tables, such as ``fedbuff K=5``; empty if it needs no name there.
    """

    label: str
    title: str


def names_of(keys: str, entries: Sequence[Node]) -> list[Name]:
    """The name of each entry that a sweep lists for a key.

    Blocks of the same kind are told apart by the keys in which they differ, as in ``fedbuff K=5``.
    Some names may still be equal.

    Args:
        keys: the dotted key that is swept.
        entries: the values to run.
    """
    names = [name_of(keys, entry, i) for i, entry in enumerate(entries)]
    kinds = [_kind(keys, entry) for entry in entries]
    for kind in dict.fromkeys(kinds):
        alike = [i for i, found in enumerate(kinds) if found == kind]
        if kind is None or len(alike) < 2:
            continue
        settings = [dict(_settings(entries[i])) for i in alike]
        differing = [
            key
            for key in dict.fromkeys(key for each in settings for key in each)
            if len({each.get(key) for each in settings}) > 1
        ]
        for i, found in zip(alike, settings, strict=True):
            parts = [f"{_short(key)}={found[key]}" for key in differing if key in found]
            label = sanitised("_".join(filter(None, (kind, *parts))))
            if parts and len(label) <= _OF_AN_ENTRY:
                names[i] = Name(label, " ".join(filter(None, (kind, ", ".join(parts)))))
    return names


def name_of(keys: str, entry: Node, i: int) -> Name:
    """The name of the ``i``-th value of a dotted key, seen alone."""
    last = keys.split(".")[-1]
    kind = _kind(keys, entry)
    if kind:
        return Name(sanitised(kind) or f"{last}-{i + 1}", kind)
    if isinstance(entry.value, dict | list):
        return Name(sanitised(f"{last}-{i + 1}"), f"{last} {i + 1}")
    text = _text(entry.value)
    # Replications are one setting, whatever their seeds.
    title = "" if keys == "seed" else f"{_short(keys)}={text}"
    return Name(sanitised(f"{last}={text}"), title)


def _kind(keys: str, entry: Node) -> str | None:
    """The kind of a block, empty if it has none; None if the entry is no block."""
    value = entry.value
    if isinstance(value, str) and keys in _KINDS:
        return value
    if not isinstance(value, dict):
        return None
    kind = value.get("kind")
    return kind.value if kind is not None and isinstance(kind.value, str) else ""


def _settings(entry: Node, path: str = "") -> Iterator[tuple[str, str]]:
    """The single values in a block, with their dotted keys; of an inner block its kind first."""
    if not isinstance(entry.value, dict):
        return
    for key, inner in entry.value.items():
        below = f"{path}.{key}" if path else key
        if isinstance(inner.value, dict):
            yield from _settings(inner, below)
        elif isinstance(inner.value, list):
            yield below, "-".join(_text(item.value) for item in inner.value)
        elif key != "kind" or path:
            yield path if key == "kind" else below, _text(inner.value)


def _short(keys: str) -> str:
    last = keys.split(".")[-1]
    return SHORT.get(last, last)


def _text(value: object) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def sanitised(text: str) -> str:
    """The text with only what a folder name may have, at most 80 characters."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:LABEL_LENGTH].strip("-.")


def unique(labels: Iterable[str]) -> list[str]:
    """The labels, later ones numbered where they repeat: fedbuff, fedbuff-2."""
    taken: set[str] = set()
    result: list[str] = []
    for label in labels:
        label = label[:LABEL_LENGTH] or "case"
        numbered = (f"{label}-{n}" for n in itertools.count(2))
        chosen = label if label not in taken else next(n for n in numbered if n not in taken)
        taken.add(chosen)
        result.append(chosen)
    return result
