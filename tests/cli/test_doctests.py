"""The examples in docstrings, run from the root of the repository as they are written."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
from places import ROOT

MODULES = sorted(
    ".".join((*above, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for package, above in (("afl_sim", ()), ("analysis", ("afl_sim",)))
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(
    name: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from afl_sim.strategies import registry

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("AFL_SIM_CACHE", str(cache))
    for table, content in vars(registry).items():
        if isinstance(content, dict) and not table.startswith("__"):
            monkeypatch.setattr(registry, table, dict(content))  # examples may register a name
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", ["load_scenario", "simulate", "load_run", "register", "Strategy"])
def test_the_public_interface_has_examples(name: str) -> None:
    import afl_sim

    assert name in afl_sim.__all__
    assert ">>> " in (getattr(afl_sim, name).__doc__ or "")
