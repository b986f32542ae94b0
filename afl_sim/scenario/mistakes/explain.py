"""Validation errors in plain English: what was wrong, what was expected, the nearest name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from afl_sim.scenario.catalogue import Catalogue
from afl_sim.scenario.mistakes.lookup import (
    Spec,
    child,
    field_of,
    keys_of,
    kinds_of,
    places_of,
    specs_at,
)
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.wording import SYNONYMS, exact, hint, meant_share, show
from afl_sim.user_code import FROZEN

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake: the key path to blame, the message, and whether the key itself is wrong."""

    path: KeyPath
    message: str
    key_is_wrong: bool = False


_EXPECTED: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than": lambda c: f"more than {exact(c['gt'])}",
    "greater_than_equal": lambda c: f"{exact(c['ge'])} or more",
    "less_than": lambda c: f"less than {exact(c['lt'])}",
    "less_than_equal": lambda c: f"at most {exact(c['le'])}",
    "multiple_of": lambda c: f"a multiple of {c['multiple_of']}",
    "literal_error": lambda c: _alternatives(c["expected"]),
    "enum": lambda c: _alternatives(c["expected"]),
    "string_pattern_mismatch": lambda c: _pattern(c["pattern"]),
    "string_too_short": lambda c: f"text of at least {c['min_length']} characters",
    "string_too_long": lambda c: f"text of at most {c['max_length']} characters",
    "too_short": lambda c: f"at least {c['min_length']} entries",
    "too_long": lambda c: f"at most {c['max_length']} entries",
    "finite_number": lambda c: "a finite number",
}

_ELSEWHERE: dict[KeyPath, str] = {
    ("recording", "client_metrics"): "evaluation.per_client: true measures each client's metrics",
}
"""Keys that one would look for here, and where the setting is."""

_EXPECTED_BY_PREFIX = {
    "int_": "a whole number",
    "float_": "a number",
    "decimal_": "a number",
    "bool_": "true or false",
    "string_": "text",
    "list_": "a list",
    "tuple_": "a list",
    "set_": "a list",
    "frozen_set_": "a list",
    "dict_": "a block of keys",
    "mapping_": "a block of keys",
    "model_": "a block of keys",
    "dataclass_": "a block of keys",
    "none_": "nothing",
}


def _alternatives(text: str) -> str:
    names = re.findall(r"'([^']*)'", text)
    if not names:
        return text
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


def _pattern(pattern: str) -> str:
    if pattern == r"^[A-Za-z0-9._-]+$":
        return "only letters, digits, '.', '_' and '-'"
    return f"text that matches {pattern}"


def _in_parentheses(description: str) -> str:
    """A description as a part of a sentence; symbols such as T* stay as they are."""
    word = description.partition(" ")[0]
    begin = word.lower() if word[1:].islower() or word == "A" else word
    return begin + description[len(word) :].rstrip(".")


def explain(
    error: ValidationError, data: Any, catalogue: Catalogue | None, root: Spec = Scenario
) -> list[Finding]:
    """Every mistake of a failed validation of ``data`` as a ``root``, in order.

    Errors of the alternatives of one union are told as one.
    """
    findings: list[Finding] = []
    alternatives: dict[KeyPath, list[str]] = {}
    for detail in error.errors(include_url=False):
        kind, context = detail["type"], detail.get("ctx") or {}
        path = real_path(detail["loc"], data, absent=kind in ("missing", "scenario"))
        expected = _expected(kind, context)
        if expected is not None:
            if path not in alternatives:
                alternatives[path] = []
                findings.append(Finding(path, ""))  # its text comes when all alternatives are known
            alternatives[path].append(expected)
        else:
            name = str(detail["loc"][-1]) if detail["loc"] else ""
            findings.append(
                _structural(path, kind, context, detail["msg"], data, catalogue, root, name)
            )
    return [
        finding if finding.message else _wrong_value(finding.path, alternatives[finding.path], data)
        for finding in findings
    ]


def _expected(kind: str, context: dict[str, Any]) -> str | None:
    if kind in _EXPECTED:
        return _EXPECTED[kind](context)
    for prefix, expected in _EXPECTED_BY_PREFIX.items():
        if kind.startswith(prefix):
            return expected
    return None


def _wrong_value(path: KeyPath, expected: list[str], data: Any) -> Finding:
    value = _at(path, data)
    wanted = " or ".join(dict.fromkeys(expected))
    words = re.findall(r"[\w.-]+", wanted)
    near = hint(value, words) if isinstance(value, str) and value not in words else ""
    return Finding(path, f"got {show(value)}; expected {wanted}{_meant(value, expected) or near}")


def _meant(value: Any, expected: Sequence[str]) -> str:
    """The value of another form that a share, or a list of one entry, is likely meant to be."""
    if "a list" in expected and isinstance(value, int | float | str):
        return f"; did you mean [{value}]?"
    return meant_share(value) if {"at most 1", "less than 1", "a number"} & {*expected} else ""


def _structural(
    path: KeyPath,
    kind: str,
    context: dict[str, Any],
    message: str,
    data: Any,
    catalogue: Catalogue | None,
    root: Spec,
    name: str,
) -> Finding:
    block = path[:-1] if kind in ("missing", "extra_forbidden") else path
    specs = specs_at(block, data, catalogue, root)
    if kind == "missing":
        field = next(
            (f for spec in specs if (f := field_of(spec, str(path[-1]))) is not None), None
        )
        about = f" ({_in_parentheses(field.description)})" if field and field.description else ""
        return Finding(path, f"missing; this key is required{about}")
    if kind == "extra_forbidden":
        keys = keys_of(specs)
        near = hint(str(path[-1]), keys) or _elsewhere(path, data, catalogue, root)
        expected = f"; expected one of {', '.join(keys)}" if keys else ""
        elsewhere = _ELSEWHERE.get(path) if root is Scenario else None
        if elsewhere is not None:
            near = f"; {elsewhere}"
        if str(path[-1])[:1].isdecimal():
            expected = "; a comma begins a new entry here, and the decimal sign is a point"
        return Finding(path, f"unknown key{expected}{near}", key_is_wrong=True)
    if kind == "union_tag_invalid":
        tag, kinds = context["tag"], re.findall(r"'([^']*)'", context["expected_tags"])
        return Finding(
            (*path, "kind"),
            f"unknown kind {show(tag)}; expected one of {', '.join(kinds)}{hint(tag, kinds)}",
        )
    if kind == "union_tag_not_found":
        return Finding((*path, "kind"), f"missing; expected one of {', '.join(kinds_of(specs))}")
    if kind in ("frozen_instance", "frozen_field"):
        return Finding(path, f"its class sets self.{name}, but it cannot be changed; {FROZEN}")
    for prefix in ("Value error, ", "Assertion failed, "):
        message = message.removeprefix(prefix)
    if message.startswith("Input should be "):
        message = (
            f"got {show(_at(path, data))}; expected {message.removeprefix('Input should be ')}"
        )
    return Finding(path, message)


def _elsewhere(path: KeyPath, data: Any, catalogue: Catalogue | None, root: Spec) -> str:
    """``; did you mean 'x.y'?`` for a key that belongs to a block further down, or nothing."""
    word = str(path[-1])
    names = {word, SYNONYMS.get(word.casefold(), word)}
    found = places_of(names, path[:-1], data, catalogue, root)
    nearest = [each for each in found if len(each) == min(map(len, found))]
    quoted = [f"'{'.'.join(each)}'" for each in nearest]
    return f"; did you mean {' or '.join(quoted)}?" if 0 < len(quoted) < 3 else ""


def _at(path: Sequence[str | int], data: Any) -> Any:
    for part in path:
        data = child(data, part)
    return data


def real_path(location: Sequence[str | int], data: Any, *, absent: bool) -> KeyPath:
    """The keys of the file in an error's location, which also names the unions it went through.

    Of all ways to read the location, the one that takes the fewest of its parts for such names; a
    name that is the block's own ``kind`` is the likeliest.

    Args:
        location: keys, indices and union labels, from the top.
        data: the scenario as plain data.
        absent: whether the last part is a key that need not be there.
    """
    return _read(tuple(location), data, absent)[1]


def _read(location: KeyPath, data: Any, absent: bool) -> tuple[int, KeyPath]:
    if not location:
        return 0, ()
    part, rest = location[0], location[1:]
    present = (isinstance(data, dict) and part in data) or (
        isinstance(data, list) and isinstance(part, int) and part < len(data)
    )
    # A block may be written as its kind alone.
    tag = part in (data.get("kind"), None) if isinstance(data, dict) else part == data
    ways: list[tuple[int, KeyPath]] = []
    if present:
        cost, path = _read(rest, child(data, part), absent)
        ways.append((cost, (part, *path)))
    elif absent and not rest:
        # A value that is no block has no keys, unless it is one key's short form of the block.
        ways.append((0 if isinstance(data, dict) and not tag else 2, (part,)))
    if not present or tag:
        cost, path = _read(rest, data, absent)
        ways.append((cost + (1 if tag else 3), path))
    return min(ways, key=lambda way: way[0])
