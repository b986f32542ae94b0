"""Sweeps: from one file to the cases of a study, on nodes, so that mistakes keep their lines."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path

from afl_sim.scenario.mistakes.explain import Finding
from afl_sim.scenario.naming import Name, name_of, names_of, sanitised, unique
from afl_sim.scenario.overrides import CannotSet, put
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.wording import hint, show
from afl_sim.scenario.yaml.nodes import Node
from afl_sim.streams import Streams

MAX_RUNS = 10_000
A_BLOCK = "expected a block with a kind, or the kind alone"
NOT_SWEPT = ("sweep", "name", "description", "replications", "figure", "design")


@dataclass(frozen=True, slots=True)
class Case:
    """One run of a study.

    Attributes:
        label: unique in the study; the name of its folder.
        scenario: what is run.
        title: names the setting in figures and tables; empty if the label does.
    """

    label: str
    scenario: Scenario
    title: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the files that make a study.

    Attributes:
        name: its `name`, which differs from those of the others.
        source: its text.
        folder: the folder from which its paths go out.
    """

    name: str
    source: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Study:
    """What a scenario file asks for: one run, or several that belong together.

    Attributes:
        name: the file's `name`.
        description: its `description`.
        source: its text; empty if there are several files.
        cases: the runs, in the order of the sweep.
        is_study: whether it has a sweep or replications; otherwise there is one case, with the
            name for its label.
        parts: the files, if there are several; see `afl_sim.scenario.joining`.
    """

    name: str
    description: str
    source: str
    cases: tuple[Case, ...]
    is_study: bool
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class _Setting:
    """A value for a dotted key, with the name it gives."""

    keys: str
    value: Node
    name: Name


def expand(root: Node, findings: list[Finding]) -> list[tuple[Name, Node]]:
    """The name and the tree of every case; mistakes in the sweep itself go to ``findings``.

    Without a sweep and a list of strategies there is one case, with an empty name.
    """
    assert isinstance(root.value, dict)
    sweep, strategies = root.value.get("sweep"), root.value.get("strategy")
    listed = strategies is not None and isinstance(strategies.value, list)
    apart = {"sweep", "strategy"} if listed else {"sweep"}
    base = replace(root, value={key: v for key, v in root.value.items() if key not in apart})
    before = len(findings)
    rows: list[list[_Setting]] = [[]]
    if sweep is not None and sweep.value is not None:
        if not isinstance(sweep.value, dict) or not sweep.value:
            expected = "a block of lists, or cases"
            findings.append(Finding(("sweep",), f"got {show_node(sweep)}; expected {expected}"))
            return []
        rows = _listed(sweep, findings) if "cases" in sweep.value else _product(sweep, findings)
    elif not listed:
        return [(Name("", ""), base)]
    if listed and strategies is not None:
        rows = _each_strategy(strategies, rows, findings)
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
    labels = unique("_".join(s.name.label for s in row if s.name.label) for row in rows)
    titles = [", ".join(s.name.title for s in row if s.name.title) for row in rows]
    names = [Name(label, title) for label, title in zip(labels, titles, strict=True)]
    return list(zip(names, trees, strict=True)) if len(findings) == before else []


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
        axes.append(_axis(keys, entries.value, ("sweep", keys), findings))
    runs = math.prod(len(axis) for axis in axes)
    if runs > MAX_RUNS:
        findings.append(Finding(("sweep",), f"{runs} runs; expected at most {MAX_RUNS}"))
        return []
    return [list(row) for row in itertools.product(*axes)]


def _axis(
    keys: str, entries: list[Node], path: tuple[str | int, ...], findings: list[Finding]
) -> list[_Setting]:
    """The values of a key. A block among them may have a ``label``, which names it."""
    written = [
        entry.value.get("label") if isinstance(entry.value, dict) else None for entry in entries
    ]
    bare = [
        replace(entry, value={key: v for key, v in entry.value.items() if key != "label"})
        if isinstance(entry.value, dict)
        else entry
        for entry in entries
    ]
    names = names_of(keys, bare)
    for i, label in enumerate(written):
        if label is None:
            continue
        named = _labelled(label, (*path, i, "label"), findings)
        names[i] = named or names[i]
    labels = unique(name.label for name in names)
    return [
        _Setting(
            keys,
            replace(entry, origin=".".join(map(str, (*path, i)))),
            replace(names[i], label=labels[i]),
        )
        for i, entry in enumerate(bare)
    ]


def _each_strategy(
    strategies: Node, rows: list[list[_Setting]], findings: list[Finding]
) -> list[list[_Setting]]:
    """Every row with every strategy of the list under ``strategy``."""
    assert isinstance(strategies.value, list)
    if not strategies.value:
        findings.append(Finding(("strategy",), f"got an empty list; {A_BLOCK}"))
        return []
    twice = [setting for row in rows for setting in row if setting.keys == "strategy"]
    if twice:
        path = tuple(str(twice[0].value.origin).split("."))[:2]
        message = "`strategy` lists the strategies already; expected them in one of the two places"
        findings.append(Finding(path, message, key_is_wrong=True))
        return []
    axis = _axis("strategy", strategies.value, ("strategy",), findings)
    runs = len(axis) * len(rows)
    if runs > MAX_RUNS:
        findings.append(Finding(("strategy",), f"{runs} runs; expected at most {MAX_RUNS}"))
        return []
    return [[strategy, *row] for strategy in axis for row in rows]


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
            row.append(_Setting(keys, replace(value, origin=origin), name_of(keys, value, i)))
    label = case.value.get("label")
    name = None if label is None else _labelled(label, (*path, "label"), findings)
    if name is None:
        return row
    named = [replace(setting, name=Name("", "")) for setting in row]
    return [replace(named[0], name=name), *named[1:]] if named else []


def _labelled(label: Node, path: tuple[str | int, ...], findings: list[Finding]) -> Name | None:
    """The name that a label gives; None, with a finding, if it gives none."""
    if not isinstance(label.value, str | int | float) or not sanitised(str(label.value)):
        findings.append(Finding(path, f"got {show_node(label)}; expected a word"))
        return None
    written = str(label.value)
    return Name(sanitised(written), written)


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


def show_node(node: Node) -> str:
    """A node as a message quotes it."""
    return show(node.value)


def replicate(name: Name, scenario: Scenario) -> list[Case]:
    """One case for each of the scenario's replications: the first has the seed itself."""
    if scenario.replications == 1:
        return [Case(name.label, scenario, name.title)]
    result = []
    for r in range(scenario.replications):
        seed = replication_seed(scenario.seed, r)
        copy = scenario.model_copy(update={"seed": seed, "replications": 1})
        label = f"{name.label}-r{r}" if name.label else f"r{r}"
        result.append(Case(label, copy, name.title))
    return result


def replication_seed(seed: int, r: int) -> int:
    """The seed of the r-th replication; of the first one the seed itself."""
    return seed if r == 0 else Streams(seed).integer("replication", 0, r) % 2**32
