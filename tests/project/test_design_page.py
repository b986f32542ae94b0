"""The map of the source tree in docs/design.md is the tree."""

from __future__ import annotations

import importlib
import re
import tomllib

from doc_blocks import blocks
from places import ROOT

PACKAGE = ROOT / "afl_sim"
PAGE = (ROOT / "docs" / "design.md").read_text("utf-8")


def mapped() -> dict[str, str]:
    """The entries of the map, as paths below the package, with what is said of them."""
    (tree,) = (b for b in blocks(PAGE) if b.text.startswith("afl_sim/\n"))
    found: dict[str, str] = {}
    room = ""
    for line in tree.text.splitlines()[1:]:
        indent, name, said = re.fullmatch(r"( +)(\S+) +(.*)", line).groups()  # type: ignore[union-attr]
        assert len(indent) in (2, 4), line
        path = name if len(indent) == 2 else room + name
        room = name if len(indent) == 2 else room
        assert path not in found, line
        found[path] = said
    return found


def rooms() -> set[str]:
    """The folders of the package, two deep, and the modules that lie at its top."""
    found = {f"{d.name}/" for d in PACKAGE.iterdir() if (d / "__init__.py").is_file()}
    for room in list(found):
        within = (PACKAGE / room).iterdir()
        found |= {f"{room}{d.name}/" for d in within if (d / "__init__.py").is_file()}
    modules = {m.name for m in PACKAGE.glob("*.py") if not m.name.startswith("__")}
    return found | modules


def test_every_room_that_is_named_exists_and_every_room_that_exists_is_named() -> None:
    assert mapped().keys() == rooms()


def test_something_is_said_of_every_room() -> None:
    assert all(len(said) > 10 for said in mapped().values())


def test_the_layers_of_the_imports_are_rooms_of_the_map() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c["type"] == "layers")
    named = {name.strip() for layer in layers for name in layer.split("|")}
    top = {path.rstrip("/").removesuffix(".py") for path in mapped() if path.count("/") <= 1}
    top = {name for name in top if "/" not in name}
    assert {name.removeprefix("afl_sim.") for name in named} == top


def test_each_stage_of_a_run_is_the_function_that_the_page_names() -> None:
    stages = re.findall(r"^\*\*\d\. \w+\*\* \(`(\w+)` in `([\w/]+)\.py`\)", PAGE, re.M)
    assert [name for name, _ in stages] == ["prepare", "run", "record"]
    for name, module in stages:
        found = importlib.import_module(module.replace("/", "."))
        assert callable(getattr(found, name))
