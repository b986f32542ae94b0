"""How a name in a scenario leads to code of the user's own."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint
from types import ModuleType

from afl_sim.errors import ScenarioError
from afl_sim.scenario.wording import hint
from afl_sim.user_code import reason, told


def load(path: str, noun: str) -> object:
    """What ``package.module:name`` names.

    Modules are searched for where Python searches; commands add the working folder.

    Args:
        path: the module and the name in it. The name may have dots.
        noun: what is searched for, such as "selection", for messages.

    Raises:
        ScenarioError: the path has another form, the module cannot be imported, or it has no such
            name. The message has one line, with the place in the user's code if an error was
            raised there.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name or module_name.startswith("."):
        raise ScenarioError(f"cannot import {noun} {path!r}: expected the form package.module:name")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's module may raise anything at all
        # A missing module has no line.
        missing = isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(
            f"{error.name}."
        )
        what = reason(error) if missing or isinstance(error, SystemExit) else told(error)
        raise ScenarioError(f"cannot import {noun} {path!r}: {what}") from error
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            near = hint(part, _names(found))
            raise ScenarioError(
                f"cannot import {noun} {path!r}: {module_name} has no {name!r}{near}"
            )
        found = getattr(found, part)
    return found


def entry_points(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group.

    Python opens a file of every installed package to find them. So they are searched for again only
    when the module path or a folder in it has changed.
    """
    return _entry_points(group, tuple((place, _changed_ns(place)) for place in sys.path))


@lru_cache(maxsize=64)
def _entry_points(group: str, places: tuple[tuple[str, int | None], ...]) -> tuple[EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=group))


def _changed_ns(place: str) -> int | None:
    """When packages were last added to a folder or taken out of it; None if there is no folder."""
    try:
        return os.stat(place or os.curdir).st_mtime_ns
    except OSError:
        return None


def installed(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group, by name, in order. Nothing is imported."""
    return {entry.name: entry for entry in sorted(entry_points(group=group), key=_name)}


def _name(entry: EntryPoint) -> str:
    return entry.name


def _names(thing: object) -> list[str]:
    names = [name for name in vars(thing) if not name.startswith("_")] if _has_names(thing) else []
    return [name for name in names if not isinstance(getattr(thing, name, None), ModuleType)]


def _has_names(thing: object) -> bool:
    return isinstance(thing, type | ModuleType)
