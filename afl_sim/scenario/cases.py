"""The cases of a scenario file, with the settings that come from outside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from afl_sim.scenario.mistakes.explain import Finding
from afl_sim.scenario.mistakes.report import Mistakes
from afl_sim.scenario.naming import Name
from afl_sim.scenario.overrides import CannotSet, Override, parse_override, put
from afl_sim.scenario.study import expand
from afl_sim.scenario.yaml.nodes import Node


def cases_of(root: Node, settings: list[Override], mistakes: Mistakes) -> list[tuple[Name, Node]]:
    """The cases of a file, each with its name; there is at least one.

    Args:
        root: what the file says.
        settings: go before it.
        mistakes: what is wrong is added here.
    """
    findings: list[Finding] = []
    early = [setting for setting in settings if _comes_first(setting, root)]
    for setting in early:
        root = _put(root, setting, mistakes)
    cases = expand(root, findings)
    mistakes.add_findings(findings, root)
    if not cases:  # still tell what is wrong with the rest of the file
        assert isinstance(root.value, dict)
        rest = {key: _one_of(key, value) for key, value in root.value.items() if key != "sweep"}
        cases = [(Name("", ""), Node(rest, root.where, root.key_places))]
    _refuse_swept(root, settings, mistakes)
    for setting in settings:
        if setting not in early:
            cases = [(each, _put(tree, setting, mistakes)) for each, tree in cases]
    return cases


def _one_of(key: str, node: Node) -> Node:
    """A node as it is; of a list of strategies one that is as good as any, if there is one."""
    if key != "strategy" or not isinstance(node.value, list) or not node.value:
        return node
    first = node.value[0]
    if not isinstance(first.value, dict):
        return first
    return replace(first, value={key: v for key, v in first.value.items() if key != "label"})


def _comes_first(setting: Override, root: Node) -> bool:
    """Whether a setting decides which cases there are: a sweep, or a list of strategies."""
    written = root.value.get("strategy") if isinstance(root.value, dict) else None
    lists = [setting.value, *([] if written is None else [written])]
    first, *rest = setting.keys.split(".")
    if first == "strategy" and any(isinstance(each.value, list) for each in lists):
        return not rest or rest[0].isdecimal()
    return first == "sweep"


def _refuse_swept(root: Node, settings: list[Override], mistakes: Mistakes) -> None:
    sweep = root.value.get("sweep") if isinstance(root.value, dict) else None
    swept = list(sweep.value) if sweep is not None and isinstance(sweep.value, dict) else []
    for setting in settings:
        for keys in swept:
            if f"{keys}.".startswith(f"{setting.keys}."):
                message = (
                    f"the sweep sets {keys}, so this would make its runs equal; expected another "
                    f"key, or sweep.{keys}=[...]"
                )
                mistakes.add(setting.value.where, setting.keys, message)


def _put(tree: Node, setting: Override, mistakes: Mistakes) -> Node:
    try:
        return put(tree, setting.keys, setting.value, setting.value.where)
    except CannotSet as problem:
        mistakes.add(setting.value.where, setting.keys, str(problem))
        return tree


def read_settings(
    overrides: Sequence[str | Override], seed: int | None, mistakes: Mistakes
) -> list[Override]:
    """Read settings from outside a file, ``key.path=value``; what cannot be read is a mistake."""
    settings: list[Override] = []
    for text in overrides:
        if isinstance(text, Override):
            settings.append(text)
            continue
        setting, misreadings = parse_override(text)
        mistakes.add_misreadings(misreadings)
        if setting is not None:
            settings.append(setting)
    if seed is not None:
        settings.append(Override("seed", Node(seed, "--seed")))
    return settings
