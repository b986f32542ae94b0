"""The mistakes of a YAML file: each once, with its line and key, in the order of the file."""

from __future__ import annotations

from collections.abc import Iterable

from afl_sim.errors import ScenarioError
from afl_sim.scenario.mistakes.explain import Finding
from afl_sim.scenario.wording import one_line
from afl_sim.scenario.yaml.nodes import Misreading, Node

MAX_LINES = 100


class Mistakes:
    """The lines of the message, each once, in the order of the file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {}
        self._misread = False

    def add(self, where: str, path: str, message: str) -> None:
        """Add one mistake, at a place (``file:line`` or an option) and a key path."""
        option = where.removeprefix("--set ")
        if where != option and path.startswith(f"{option}."):
            where, path = f"--set {path}", ""  # a key inside the block that the option sets
        key = f"{path}: " if path and path != option and f"--{path}" != where else ""
        place = f"{where}: " if where else ""  # a setting that is given in Python has none
        number = where.rsplit(":", 1)[-1]
        order = int(number) if number.isdecimal() else 0
        self.lines.setdefault(one_line(f"{place}{key}{message}"), order)

    def add_misreadings(self, misreadings: Iterable[Misreading]) -> None:
        """Add the mistakes that were found while the YAML text was read."""
        for misreading in misreadings:
            self._misread = True
            self.add(misreading.where, ".".join(map(str, misreading.path)), misreading.message)

    def add_findings(self, findings: Iterable[Finding], tree: Node) -> None:
        """Add the mistakes in the content, except those about a value that could not be read."""
        for finding in findings:
            if self._misread and _said_of_a_misreading(finding, tree):
                continue
            where, path = locate(finding, tree)
            self.add(where, path, finding.message)

    def error(self) -> ScenarioError:
        """All mistakes as one error."""
        lines = sorted(self.lines, key=lambda line: self.lines[line])
        if len(lines) > MAX_LINES:
            lines[MAX_LINES:] = [f"{self.file}:1: and {len(lines) - MAX_LINES} more mistakes"]
        return ScenarioError("\n".join(lines))


def _said_of_a_misreading(finding: Finding, tree: Node) -> bool:
    """Whether a finding is about a value that only stands for what could not be read, or about a
    block as a whole that has one in it."""
    node = tree
    for part in finding.path:
        child = _child(node, part)
        if child is None:
            return node.misread
        node = child
    return _has_misread(node)


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(node.value, dict):
        return node.value.get(str(part))
    index = int(part) if str(part).isdecimal() else -1
    if isinstance(node.value, list) and 0 <= index < len(node.value):
        return node.value[index]
    return None


def _has_misread(node: Node) -> bool:
    if isinstance(node.value, dict):
        return any(map(_has_misread, node.value.values()))
    return any(map(_has_misread, node.value)) if isinstance(node.value, list) else node.misread


def locate(finding: Finding, tree: Node) -> tuple[str, str]:
    """The place in the file, and the key path as it is written there."""
    node, where, shown = tree, tree.where, []
    for i, part in enumerate(finding.path):
        child = _child(node, part)
        if child is None:
            shown += [one_line(str(rest), 60) for rest in finding.path[i:]]
            break
        at_key = isinstance(child.value, dict | list) or (
            finding.key_is_wrong and i == len(finding.path) - 1
        )
        where = node.key_places.get(str(part), child.where) if at_key else child.where
        if child.origin is not None:
            where, shown = child.where, [one_line(child.origin, 80)]
        else:
            shown.append(one_line(str(part), 60))
        node = child
    return where, ".".join(shown)
