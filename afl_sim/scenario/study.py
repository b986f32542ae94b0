"""Sweeps: from one file to the cases of a study, on nodes, so that mistakes keep their lines."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from afl_sim.scenario.mistakes.explain import Finding
from afl_sim.scenario.overrides import CannotSet, put
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.wording import hint, show
from afl_sim.scenario.yaml.nodes import Node
from afl_sim.streams import Streams

MAX_RUNS = 10_000
LABEL_LENGTH = 80
NOT_SWEPT = ("sweep", "name", "description", "replications")


@dataclass(frozen=True, slots=True)
class Case:
    """One run of a study: its label, unique there, and its scenario."""

    label: str
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Study:
    """What a scenario file asks for: one run, or several that belong together.

    Attributes:
        name: the file's `name`.
        description: its `description`.
        source: its text.
        cases: the runs, in the order of the sweep.
        is_study: whether it has a sweep or replications; otherwise there is one case, with the
            name for its label.
    """

    name: str
    description: str
    source: str
    cases: tuple[Case, ...]
    is_study: bool


@dataclass(frozen=True, slots=True)
class _Setting:
    """A value for a dotted key, with the label it gives."""

    keys: str
    value: Node
    label: str


def expand(root: Node, findings: list[Finding]) -> list[tuple[str, Node]]:
    """The label and the tree of every case; mistakes in the sweep itself go to ``findings``.

    Without a sweep there is one case, with an empty label.
    """
    assert isinstance(root.value, dict)
    sweep = root.value.get("sweep")
    base = replace(root, value={key: v for key, v in root.value.items() if key != "sweep"})
    if sweep is None or sweep.value is None:
        return [("", base)]
    if not isinstance(sweep.value, dict) or not sweep.value:
        expected = "a block of lists, or cases"
        findings.append(Finding(("sweep",), f"got {show_node(sweep)}; expected {expected}"))
        return []
    before = len(findings)
    rows = _listed(sweep, findings) if "cases" in sweep.value else _product(sweep, findings)
    if len(findings) > before:
        return []
    trees: list[Node] = []
    for row in rows:
        tree = base
        for setting in row:
            try:
                tree = put(tree, setting.keys, setting.value, setting.value.where)
            except CannotSet as problem:
                findings.append(Finding(("sweep", setting.keys), str(problem)))
        trees.append(tree)
    labels = unique("_".join(s.label for s in row if s.label) for row in rows)
    return list(zip(labels, trees, strict=True)) if len(findings) == before else []


def _product(sweep: Node, findings: list[Finding]) -> list[list[_Setting]]:
    assert isinstance(sweep.value, dict)
    axes: list[list[_Setting]] = []
    for keys, entries in sweep.value.items():
        if not _may_be_swept(keys, ("sweep", keys), findings):
            continue
        if not isinstance(entries.value, list) or not entries.value:
            message = f"got {show_node(entries)}; expected a list with the values to run"
            findings.append(Finding(("sweep", keys), message))
            continue
        labels = unique(_label(keys, entry, i) for i, entry in enumerate(entries.value))
        axes.append(
            [
                _Setting(keys, replace(entry, origin=f"sweep.{keys}.{i}"), label)
                for i, (entry, label) in enumerate(zip(entries.value, labels, strict=True))
            ]
        )
    runs = math.prod(len(axis) for axis in axes)
    if runs > MAX_RUNS:
        findings.append(Finding(("sweep",), f"{runs} runs; expected at most {MAX_RUNS}"))
        return []
    return [list(row) for row in itertools.product(*axes)]


def _listed(sweep: Node, findings: list[Finding]) -> list[list[_Setting]]:
    assert isinstance(sweep.value, dict)
    for key in sweep.value:
        if key != "cases":
            message = (
                "`cases` cannot be combined with other keys of a sweep; put this setting "
                "into the `set` of each case"
            )
            findings.append(Finding(("sweep", key), message, key_is_wrong=True))
    cases = sweep.value["cases"].value
    if not isinstance(cases, list) or not 0 < len(cases) <= MAX_RUNS:
        expected = f"a list of 1 to {MAX_RUNS} blocks {{label: ..., set: {{...}}}}"
        message = f"got {show_node(sweep.value['cases'])}; expected {expected}"
        findings.append(Finding(("sweep", "cases"), message))
        return []
    return [_listed_case(case, i, findings) for i, case in enumerate(cases)]


def _listed_case(case: Node, i: int, findings: list[Finding]) -> list[_Setting]:
    path = ("sweep", "cases", i)
    if not isinstance(case.value, dict):
        message = f"got {show_node(case)}; expected a block {{label: ..., set: {{...}}}}"
        findings.append(Finding(path, message))
        return []
    for key in case.value:
        if key not in ("label", "set"):
            message = f"unknown key; expected label and set{hint(key, ('label', 'set'))}"
            findings.append(Finding((*path, key), message, key_is_wrong=True))
    settings = case.value.get("set")
    if settings is None or not isinstance(settings.value, dict) or not settings.value:
        got = "missing" if settings is None else f"got {show_node(settings)}"
        findings.append(Finding((*path, "set"), f"{got}; expected a block of settings"))
        return []
    row: list[_Setting] = []
    for keys, value in settings.value.items():
        if _may_be_swept(keys, (*path, "set", keys), findings):
            origin = f"sweep.cases.{i}.set.{keys}"
            row.append(_Setting(keys, replace(value, origin=origin), _label(keys, value, i)))
    label = case.value.get("label")
    if label is None:
        return row
    if not isinstance(label.value, str | int | float) or not sanitised(str(label.value)):
        findings.append(Finding((*path, "label"), f"got {show_node(label)}; expected a word"))
        return row
    named = [replace(setting, label="") for setting in row]
    return [replace(named[0], label=sanitised(str(label.value))), *named[1:]] if named else []


def _may_be_swept(keys: str, path: tuple[str | int, ...], findings: list[Finding]) -> bool:
    first = keys.split(".")[0]
    known = [name for name in Scenario.model_fields if name not in NOT_SWEPT]
    if first in NOT_SWEPT:
        findings.append(Finding(path, f"{first} cannot be swept", key_is_wrong=True))
    elif first not in known or not all(keys.split(".")):
        message = f"unknown key; expected one of {', '.join(known)}{hint(first, known)}"
        findings.append(Finding(path, message, key_is_wrong=True))
    else:
        return True
    return False


def _label(keys: str, entry: Node, i: int) -> str:
    last = keys.split(".")[-1]
    value = entry.value
    if isinstance(value, dict):
        kind = value.get("kind")
        if kind is not None and isinstance(kind.value, str):
            return sanitised(kind.value) or f"{last}-{i + 1}"
        return sanitised(f"{last}-{i + 1}")
    if isinstance(value, list):
        return sanitised(f"{last}-{i + 1}")
    if isinstance(value, str) and keys in ("strategy", "model", "training.optimizer"):
        return sanitised(value) or f"{last}-{i + 1}"
    text = (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
    return sanitised(f"{last}={text}")


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


def show_node(node: Node) -> str:
    """A node as a message quotes it."""
    return show(node.value)


def replicate(label: str, scenario: Scenario) -> list[tuple[str, Scenario]]:
    """One scenario for each of its replications: the first has the seed itself."""
    if scenario.replications == 1:
        return [(label, scenario)]
    streams = Streams(scenario.seed)
    result = []
    for r in range(scenario.replications):
        seed = scenario.seed if r == 0 else streams.integer("replication", 0, r) % 2**32
        copy = scenario.model_copy(update={"seed": seed, "replications": 1})
        result.append((f"{label}-r{r}" if label else f"r{r}", copy))
    return result
