"""Settings from outside a scenario's text: ``--set key.path=value``, and entries of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from afl_sim.scenario.scenario import DEFAULT_MODEL
from afl_sim.scenario.sections.training import DEFAULT_OPTIMIZER
from afl_sim.scenario.wording import hint, one_line, show
from afl_sim.scenario.yaml.nodes import MAX_DEPTH, Misreading, Node, Unreadable, compose
from afl_sim.scenario.yaml.scalars import Scalar

DEFAULT_BLOCKS: dict[tuple[str, ...], dict[str, Scalar]] = {
    ("model",): DEFAULT_MODEL,
    ("training", "optimizer"): DEFAULT_OPTIMIZER,
}
"""Blocks that exist even if a file leaves them out, so that a single key of them can be set."""


@dataclass(frozen=True, slots=True)
class Override:
    """One value and the dotted key path it goes to."""

    keys: str
    value: Node


class CannotSet(Exception):
    """A key path that leads nowhere."""


def parse_override(text: str) -> tuple[Override | None, list[Misreading]]:
    """Read ``key.path=value``; the value is YAML."""
    keys, equals, value = text.partition("=")
    keys = keys.strip()
    where = f"--set {one_line(keys or text, 80)}"
    if not equals or not keys or not all(keys.split(".")):
        message = f"got {show(text)}; expected key.path=value, such as training.epochs=2"
        return None, [Misreading("--set", (), message)]
    try:
        node, misreadings = compose(value, where, numbered=False)
    except Unreadable as error:
        return None, error.misreadings
    return Override(keys, node), misreadings


def put(root: Node, keys: str, value: Node, where: str) -> Node:
    """The tree with ``value`` at a dotted key path, blocks on the way made where they are missing.

    Args:
        root: the tree; it is not changed.
        keys: such as ``training.optimizer.lr``; numbers index lists, and so do names of
            blocks in them (`clients.groups.phones.share`); a key that itself has dots (in a sweep)
            is found too.
        value: what goes there.
        where: the place to blame for keys made on the way.

    Raises:
        CannotSet: something on the way is no block, or an index is out of range.
    """
    parts = keys.split(".")
    if len(parts) > MAX_DEPTH:
        raise CannotSet(f"more than {MAX_DEPTH} levels deep")
    return _put(root, parts, value, where, ())


def _put(node: Node, keys: Sequence[str], value: Node, where: str, passed: tuple[str, ...]) -> Node:
    if not keys:
        return value
    content = node.value
    if isinstance(content, list):
        return _put_item(node, content, keys, value, where, passed)
    if isinstance(content, str) and content:
        content = {"kind": node}  # the short form of a block, such as `model: lenet`
    elif content is None:
        content = {key: Node(item, where) for key, item in DEFAULT_BLOCKS.get(passed, {}).items()}
    if not isinstance(content, dict):
        raise CannotSet(f"{'.'.join(passed)} is {show(content)}, not a block with keys")
    taken = next((n for n in range(len(keys), 1, -1) if ".".join(keys[:n]) in content), 1)
    key = ".".join(keys[:taken])
    inner = _put(content.get(key, Node(None, where)), keys[taken:], value, where, (*passed, key))
    entries = {**content, key: inner}
    places = {**node.key_places, key: inner.where if inner is value else where}
    if key in content and inner is not value:
        places[key] = node.key_places.get(key, where)
    return replace(node, value=entries, key_places=places)


def _put_item(
    node: Node,
    items: list[Node],
    keys: Sequence[str],
    value: Node,
    where: str,
    passed: tuple[str, ...],
) -> Node:
    names = [_name_of(item) for item in items]
    if keys[0] in names:
        index = names.index(keys[0])
    else:
        index = int(keys[0]) if keys[0].isdecimal() and len(keys[0]) < 10 else len(items)
    if index >= len(items):
        named = [name for name in names if name is not None]
        instead = f" or one of the names {', '.join(named)}" if named else ""
        raise CannotSet(
            f"{'.'.join(passed)} is a list of {len(items)}; expected an index below that{instead}, "
            f"got {show(keys[0])}{hint(keys[0], named)}"
        )
    inner = _put(items[index], keys[1:], value, where, (*passed, keys[0]))
    return replace(node, value=[*items[:index], inner, *items[index + 1 :]])


def _name_of(item: Node) -> str | None:
    """What a block of a list is called, if it has a name."""
    name = item.value.get("name") if isinstance(item.value, dict) else None
    return name.value if name is not None and isinstance(name.value, str) else None
