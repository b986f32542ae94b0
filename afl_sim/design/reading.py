"""From the file of a design to its `Problem`, or to every mistake in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from afl_sim.design.problem import Problem
from afl_sim.design.unread import without_unread
from afl_sim.design.vary import space_of
from afl_sim.errors import ScenarioError
from afl_sim.run.kinds import catalogue
from afl_sim.run.validation import inspector
from afl_sim.scenario import Scenario, ValidationContext
from afl_sim.scenario.cases import read_settings
from afl_sim.scenario.loading import Tree, read_scenario, read_tree
from afl_sim.scenario.mistakes.report import Mistakes
from afl_sim.scenario.overrides import CannotSet, Override, put
from afl_sim.scenario.sections.design import Design
from afl_sim.scenario.study import NOT_SWEPT
from afl_sim.scenario.wording import hint
from afl_sim.scenario.yaml.nodes import Node, plain

_EXAMPLE = "{vary: {...}, minimize: {time_to_accuracy: 0.95}}"
_FIXED = (*NOT_SWEPT, "seed", "stop", "evaluation", "execution", "recording")
"""Sections that no candidate may change: all are measured in the same way."""


def read_problem(
    source: Path | str | Mapping[str, Any],
    settings: Sequence[str | Override] = (),
    seed: int | None = None,
    base: Path | None = None,
) -> Problem:
    """Read a scenario file with a block ``design``, and check all that may vary.

    Args:
        source, settings, seed, base: as for `afl_sim.run.validation.check_study`.

    Raises:
        ScenarioError: the scenario, or what may vary in it, has mistakes; a line for each.
    """
    tree = read_tree(source)
    root, mistakes = tree.root, tree.mistakes
    for setting in read_settings(settings, seed, mistakes):
        try:
            root = put(root, setting.keys, setting.value, setting.value.where)
        except CannotSet as reason:
            mistakes.add(setting.value.where, setting.keys, str(reason))
    root, vary = _parts(root, tree)
    reading = ValidationContext(catalogue(), tree.folder if base is None else base)
    scenario, findings = read_scenario(root, reading)
    mistakes.add_findings(findings, root)
    _check_keys(vary, mistakes)
    if scenario is None or scenario.design is None or mistakes.lines:
        raise mistakes.error()
    block = _entries(root)["design"]
    places = {"": block.where, **{key: item.where for key, item in _entries(block).items()}}
    problem = Problem(
        scenario.design,
        space_of(vary),
        scenario,
        tree.text,
        (tree.folder if base is None else base).resolve(),
        tuple(vary),
        _measured(_without(root, "design"), scenario, scenario.design, mistakes, places),
        places,
        mistakes,
        reading,
        inspector(here=True),
        "execution" in _entries(tree.root),
    )
    _check_ends(problem, mistakes, reading)
    return replace(problem, space=without_unread(problem.space, scenario, problem.scenario_of))


def _parts(root: Node, tree: Tree) -> tuple[Node, dict[str, Node]]:
    """The file with one strategy, and what may vary.

    Raises:
        ScenarioError: there is no design, or a sweep beside it.
    """
    entries, mistakes = _entries(root), tree.mistakes
    design = entries.get("design")
    if design is None or design.value is None:
        mistakes.add(root.where, "", f"there is no design; expected a block design: {_EXAMPLE}")
        raise mistakes.error()
    if "sweep" in entries and entries["sweep"].value is not None:
        message = "a design varies settings by itself; expected one of the two"
        mistakes.add(root.key_places.get("sweep", root.where), "sweep", message)
        raise mistakes.error()
    varied = _entries(design).get("vary")
    vary = {} if varied is None or not isinstance(varied.value, dict) else dict(varied.value)
    strategies = entries.get("strategy")
    if strategies is not None and isinstance(strategies.value, list) and strategies.value:
        message = "`strategy` lists the strategies already; expected them in one of the two places"
        if "strategy" in vary:
            mistakes.add(vary["strategy"].where, "design.vary.strategy", message)
            raise mistakes.error()
        vary = {"strategy": strategies, **vary}
        listed = Node({**_entries(design), "vary": Node(vary, design.where)}, design.where)
        listed = replace(listed, key_places=design.key_places)
        first = _without(strategies.value[0], "label")
        root = replace(root, value={**entries, "strategy": first, "design": listed})
    return root, vary


def _check_keys(vary: Mapping[str, Node], mistakes: Mistakes) -> None:
    """Add what is wrong with the keys that may vary."""
    known = [name for name in Scenario.model_fields if name not in _FIXED]
    for keys, node in vary.items():
        first = keys.split(".")[0]
        if first in _FIXED:
            message = "cannot vary: all candidates are measured in the same way"
            mistakes.add(node.where, f"design.vary.{keys}", message)
        elif first not in known or not all(keys.split(".")):
            message = f"unknown key; expected one of {', '.join(known)}{hint(first, known)}"
            mistakes.add(node.where, f"design.vary.{keys}", message)


def _measured(
    root: Node, scenario: Scenario, design: Design, mistakes: Mistakes, places: Mapping[str, str]
) -> Node:
    """The file of the candidates: each run ends at the target.

    Raises:
        ScenarioError: a run would end before the target; or it would never end without reaching it.
    """
    goal, stop = design.minimize, scenario.stop
    where = places.get("minimize", places[""])
    if stop.only_metrics:
        mistakes.add(
            _entries(root)["stop"].where,
            "stop",
            "a candidate that never reaches a metric would never end; expected virtual_seconds, "
            "versions, updates or samples as well",
        )
    if goal.metric in stop.by_metric and stop.by_metric[goal.metric] != goal.target:
        mistakes.add(
            where,
            "design.minimize",
            f"the target is {goal.target:g}, but runs stop at {goal.metric} "
            f"{stop.by_metric[goal.metric]:g}; expected the same, or no such rule in stop",
        )
    if goal.metric == "accuracy" and not 0 < goal.target <= 1:
        near = f"; did you mean {goal.target / 100:g}?" if 1 < goal.target <= 100 else ""
        message = f"the target is {goal.target:g}; expected an accuracy above 0, at most 1{near}"
        mistakes.add(where, "design.minimize", message)
    if mistakes.lines:
        raise mistakes.error()
    keys = "stop.accuracy" if goal.metric == "accuracy" else f"stop.metrics.{goal.metric}"
    return put(root, keys, Node(goal.target, where), where)


def _check_ends(problem: Problem, mistakes: Mistakes, reading: ValidationContext) -> None:
    """Refuse values that no candidate could have.

    Raises:
        ScenarioError: a setting is unknown, or one of its values is not allowed by itself.
    """
    sound = 0
    for point in problem.space.ends():
        try:
            tree = problem.space.tree(problem._root, point)
        except CannotSet as reason:
            mistakes.add(problem._places["vary"], "design.vary", str(reason))
            continue
        scenario, findings = read_scenario(tree, reading)
        sound += scenario is not None
        # Settings that do not go together with others may do so elsewhere in the space.
        wrong = findings if scenario is None and not _goes_together(tree, reading) else []
        mistakes.add_findings(wrong, tree)
    if mistakes.lines:
        raise ScenarioError(str(mistakes.error()))


def _goes_together(tree: Node, reading: ValidationContext) -> bool:
    """Whether every setting is allowed by itself."""
    try:
        Scenario.model_validate(plain(tree), context=reading)
    except ValueError:
        return False
    return True


def _entries(node: Node) -> dict[str, Node]:
    return node.value if isinstance(node.value, dict) else {}


def _without(node: Node, key: str) -> Node:
    if not isinstance(node.value, dict):
        return node
    return replace(node, value={name: item for name, item in node.value.items() if name != key})
