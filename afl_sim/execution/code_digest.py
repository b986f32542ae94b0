"""A digest of the code that makes a result: this package, and modules of the user's."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from afl_sim.scenario import Scenario
from afl_sim.scenario.own_rules import code_modules, rules_in
from afl_sim.strategies import Strategy

_PACKAGE = f"{__name__.partition('.')[0]}."


def code_digest(*scenarios: Scenario) -> str:
    """16 hex digits that identify the package's source and the scenarios' own modules.

    These are the modules outside this package that define a strategy, a rule, one of their base
    classes, a model, or a data set. The modules that they import in turn are not included.
    """
    package = _package_digest()
    modules = sorted({name for scenario in scenarios for name in _own_modules(scenario)})
    if not modules:
        return package
    hasher = hashlib.sha256(package.encode())
    for name in modules:
        hasher.update(f"\n{name}\n".encode())
        file = getattr(sys.modules.get(name), "__file__", None)  # a notebook's module has none
        if file is not None:
            with suppress(OSError):
                hasher.update(Path(file).read_bytes())
    return hasher.hexdigest()[:16]


def _own_modules(scenario: Scenario) -> Iterator[str]:
    for cls in type(scenario.strategy).__mro__:
        if issubclass(cls, Strategy) and not cls.__module__.startswith(_PACKAGE):
            yield cls.__module__
    for _, rule in rules_in(scenario):
        yield from code_modules(rule)
    for block in (scenario.model, scenario.data.dataset):
        module, colon, _ = str(getattr(block, "kind", "")).partition(":")
        if colon:
            yield module


@cache
def _package_digest() -> str:
    hasher = hashlib.sha256()
    package = Path(__file__).parents[1]
    drawing = package / "analysis"  # makes no result
    for file in sorted(package.rglob("*.py")):
        if file.is_relative_to(drawing):
            continue
        hasher.update(f"{file.relative_to(package)}\n".encode())
        hasher.update(file.read_bytes())
    return hasher.hexdigest()[:16]
