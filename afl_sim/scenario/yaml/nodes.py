"""YAML text to nodes that remember where they were written.

The parser's events are composed here, not by PyYAML's composer: its recursion ends a deeply nested
file in a bare ``RecursionError``, it expands aliases without limit, and it drops duplicate keys
silently. Scalars follow YAML 1.2 (``on`` is a word, ``1e-3`` is a number), nothing is executed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from afl_sim.scenario.yaml.layout import layout_problem
from afl_sim.scenario.yaml.scalars import Scalar, half_character, resolve

MAX_DEPTH = 50
MAX_ALIASED = 100_000


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file and the place it was written.

    Attributes:
        value: a scalar, a mapping of key to `Node`, or a list of `Node`.
        where: ``file:line``, or the command-line option that gave the value.
        key_places: for a mapping, the place of each key.
        origin: the dotted path under which the value was written, where that differs from the
            place it now stands in (an entry of a sweep).
        size: number of nodes below and including this one, aliases expanded.
        depth: levels below this one, aliases expanded.
        misread: whether the text was no readable scalar, which has been noted, and the value only
            stands for it.
    """

    value: Scalar | dict[str, Node] | list[Node]
    where: str
    key_places: Mapping[str, str] = field(default_factory=dict)
    origin: str | None = None
    size: int = 1
    depth: int = 0
    misread: bool = False


@dataclass(frozen=True, slots=True)
class Misreading:
    """Something in the text that is not readable as a scenario: where, key path, what."""

    where: str
    path: tuple[str | int, ...]
    message: str


class Unreadable(Exception):
    """The text cannot be read on from here; holds the misreadings found so far."""

    def __init__(self, misreadings: list[Misreading]) -> None:
        super().__init__("; ".join(m.message for m in misreadings))
        self.misreadings = misreadings


def plain(node: Node) -> Any:
    """The node as dictionaries, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def compose(
    text: str, source: str, *, numbered: bool = True, quickly: bool = False
) -> tuple[Node, list[Misreading]]:
    """Compose one YAML document.

    Args:
        text: the document.
        source: name of the file or option, used in every place.
        numbered: whether places are ``source:line``; otherwise just ``source``.
        quickly: parse with libyaml where it is there, in a tenth of the time; its messages are
            less clear.

    Returns:
        The root node and the mistakes that did not stop the reading (duplicate keys and such).

    Raises:
        Unreadable: the text is not YAML, nests too deep, or its aliases expand beyond reason.
    """
    composer = _Composer(source, numbered)
    try:
        loader = (getattr(yaml, "CSafeLoader", yaml.SafeLoader) if quickly else yaml.SafeLoader)(
            text
        )
        root = composer.document(_events(loader))
    except Unreadable:
        raise
    except yaml.MarkedYAMLError as error:
        at, problem = layout_problem(error, text)
        composer.stop(at, (), f"not valid YAML: {problem}")
    except yaml.reader.ReaderError as error:
        where = min(error.position, len(text) - 1)  # libyaml counts bytes
        line = text.count("\n", 0, where)
        composer.stop(line, (), f"contains the control character U+{ord(text[where]):04X}")
    except Exception as error:  # PyYAML lets a few bare ones out, such as chr() of a bad escape
        composer.stop(0, (), f"not valid YAML: {str(error) or type(error).__name__}")
    return root, composer.misreadings


def _events(loader: yaml.SafeLoader) -> Iterator[yaml.Event]:
    while loader.check_event():
        yield loader.get_event()


def _line(event: yaml.Event) -> int:
    return event.start_mark.line if event.start_mark is not None else 0


def _size(nodes: Collection[Node]) -> int:
    return 1 + sum(node.size for node in nodes)


def _depth(nodes: Collection[Node]) -> int:
    return 1 + max((node.depth for node in nodes), default=0)


class _Composer:
    """Builds nodes from parser events; recursion is bounded by MAX_DEPTH."""

    def __init__(self, source: str, numbered: bool) -> None:
        self.source = source
        self.numbered = numbered
        self.misreadings: list[Misreading] = []
        self.anchors: dict[str, Node | None] = {}
        self.aliased = 0

    def place(self, line: int) -> str:
        return f"{self.source}:{line + 1}" if self.numbered else self.source

    def note(self, line: int, path: tuple[str | int, ...], message: str) -> None:
        self.misreadings.append(Misreading(self.place(line), path, message))

    def stop(self, line: int, path: tuple[str | int, ...], message: str) -> NoReturn:
        self.note(line, path, message)
        raise Unreadable(self.misreadings)

    def document(self, events: Iterator[yaml.Event]) -> Node:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self.stop(
                        _line(event),
                        (),
                        "a second YAML document; expected one scenario in one file",
                    )
                root = self.node(next(events), events, (), 0)
        return root if root is not None else Node(None, self.place(0))

    def node(
        self,
        event: yaml.Event,
        events: Iterator[yaml.Event],
        path: tuple[str | int, ...],
        deep: int,
    ) -> Node:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path, deep)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self.anchors[anchor] = None  # being built: an alias inside itself is endless
        if isinstance(event, yaml.ScalarEvent):
            noted = len(self.misreadings)
            value = self.scalar(event, path)
            node = Node(value, self.place(line), misread=len(self.misreadings) > noted)
        elif deep >= MAX_DEPTH:
            self.stop(line, path, f"nested more than {MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.SequenceStartEvent):
            self.collection_tag(event, "tag:yaml.org,2002:seq", path)
            node = self.sequence(line, events, path, deep)
        else:
            self.collection_tag(event, "tag:yaml.org,2002:map", path)
            node = self.mapping(line, events, path, deep)
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def alias(self, event: yaml.AliasEvent, path: tuple[str | int, ...], deep: int) -> Node:
        line = _line(event)
        name = event.anchor or ""
        node = self.anchors.get(name)
        if node is None:
            what = "contains itself" if name in self.anchors else "has no anchor before it"
            self.stop(line, path, f"the alias *{name} {what}")
        if deep + node.depth > MAX_DEPTH:
            self.stop(line, path, f"nested more than {MAX_DEPTH} levels deep")
        self.aliased += node.size
        if self.aliased > MAX_ALIASED:
            self.stop(line, path, f"aliases expand to more than {MAX_ALIASED:,} values")
        return node

    def sequence(
        self, line: int, events: Iterator[yaml.Event], path: tuple[str | int, ...], deep: int
    ) -> Node:
        items: list[Node] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self.node(event, events, (*path, len(items)), deep + 1))
        return Node(items, self.place(line), size=_size(items), depth=_depth(items))

    def mapping(
        self, line: int, events: Iterator[yaml.Event], path: tuple[str | int, ...], deep: int
    ) -> Node:
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        places: dict[str, str] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            at = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                self.stop(at, path, "a key that is a list, a block or an alias; expected a word")
            key = event.value
            value = self.node(next(events), events, (*path, key), deep + 1)
            if key == "<<" and event.implicit[0]:
                merged.update(self.merge(value, at, path))
            elif key in entries:
                first = places[key].rsplit(":", 1)[-1]
                seen = f"; first written on line {first}" if self.numbered else ""
                self.note(at, (*path, key), f"this key is written twice{seen}")
            elif half_character(key):
                self.note(at, path, "a key with half of a surrogate pair, which is not a character")
            else:
                entries[key] = value
                places[key] = self.place(at)
        for key, value in merged.items():
            if key not in entries:
                entries[key], places[key] = value, value.where
        values = entries.values()
        return Node(entries, self.place(line), places, size=_size(values), depth=_depth(values))

    def merge(self, value: Node, line: int, path: tuple[str | int, ...]) -> dict[str, Node]:
        sources = value.value if isinstance(value.value, list) else [value]
        merged: dict[str, Node] = {}
        for source in reversed(sources):  # the first named wins
            if isinstance(source.value, dict):
                merged.update(source.value)
            else:
                self.note(line, (*path, "<<"), "only a block, or a list of blocks, can be merged")
        return merged

    def collection_tag(self, event: Any, usual: str, path: tuple[str | int, ...]) -> None:
        if event.tag not in (None, "!", usual):
            self.note(_line(event), path, f"the tag {event.tag} is not supported here")

    def scalar(self, event: yaml.ScalarEvent, path: tuple[str | int, ...]) -> Scalar:
        line = _line(event)
        text = event.value
        tag = (event.tag or "").removeprefix("tag:yaml.org,2002:")
        if tag not in ("", "!", "str", "int", "float", "bool", "null"):
            self.note(line, path, f"the tag {event.tag} is not supported here")
        if half_character(text):
            self.note(line, path, "contains half of a surrogate pair, which is not a character")
            return ""
        if tag in ("!", "str") or not (event.implicit[0] or tag):
            return text
        try:
            value = resolve(text)
        except ValueError:
            self.note(line, path, "a number with too many digits to read")
            return 0
        if isinstance(value, int) and abs(value) >= 2**63:
            self.note(line, path, "a whole number too large to use; expected less than 2**63")
            return 0
        if isinstance(value, float) and not math.isfinite(value):
            self.note(line, path, f"{text} is not a finite number")
            return 0
        return value
