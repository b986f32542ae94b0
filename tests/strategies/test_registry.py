"""How a strategy gets its name: registered, an entry point's, or package.module:Class."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest
from vectors import vec

from afl_sim.errors import ScenarioError
from afl_sim.learning.models.factories import resolve_model
from afl_sim.strategies import FedAvg, FedBuff, Strategy, register, registry, resolve_strategy
from afl_sim.strategies.registry import strategies

MODULE = "a_strategy_from_elsewhere"


class Elsewhere(Strategy):
    """Stands for a third party's strategy."""

    strength: float = 1.0

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        return params * self.strength, state


@pytest.fixture(autouse=True)
def _clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = ModuleType(MODULE)
    found.Elsewhere = type("Elsewhere", (Elsewhere,), {"__module__": MODULE})  # type: ignore[attr-defined]
    found.NOT_A_CLASS = 3  # type: ignore[attr-defined]
    found.NotAStrategy = dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, found)
    return found


def installed(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    """Pretend that packages with these entry points (name, value) are installed."""
    found = [EntryPoint(name, value, registry.ENTRY_POINTS) for name, value in points]
    monkeypatch.setattr(registry, "entry_points", lambda group: found if group else [])


def test_a_registered_class_is_found_by_name_and_knows_it() -> None:
    cls = register("renamed")(type("Renamed", (Elsewhere,), {"__module__": __name__}))
    assert strategies()["renamed"] is cls
    assert cls().kind == "renamed"


def test_registering_returns_the_class_itself() -> None:
    cls = type("Plain", (Elsewhere,), {"__module__": __name__})
    assert register("plain")(cls) is cls


def test_a_class_without_a_name_is_called_by_its_path() -> None:
    assert Elsewhere().kind == f"{__name__}:Elsewhere"


def test_a_subclass_of_a_named_strategy_does_not_pass_for_it() -> None:
    class Mine(FedAvg):
        pass

    assert Mine().kind == f"{__name__}:{Mine.__qualname__}"
    assert FedAvg().kind == "fedavg"


def test_the_table_is_a_copy() -> None:
    strategies()["fedavg"] = Elsewhere
    assert strategies()["fedavg"] is FedAvg


def test_a_class_is_resolved_by_its_path(module: ModuleType) -> None:
    cls = resolve_strategy(f"{MODULE}:Elsewhere")
    assert cls is module.Elsewhere
    assert cls(kind=f"{MODULE}:Elsewhere", strength=2.0).aggregate(vec(1), None, [], {})[0] == 2


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no_such_package.module:Class", "no_such_package"),
        (f"{MODULE}:Missing", "Missing"),
        (f"{MODULE}:NOT_A_CLASS", "not a subclass"),
        (f"{MODULE}:NotAStrategy", "not a subclass"),
        (MODULE, "cannot import"),
        (":Class", "cannot import"),
        ("", "cannot import"),
    ],
)
def test_a_path_that_leads_nowhere_is_an_error_of_one_line(
    module: ModuleType, path: str, reason: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        resolve_strategy(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_module_that_fails_when_it_is_imported_is_an_error_that_says_why(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "explodes_on_import.py").write_text("raise RuntimeError('out of order')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ScenarioError, match="out of order"):
        resolve_strategy("explodes_on_import:Class")


@pytest.mark.parametrize(("call", "told"), [("exit(3)", "exit(3)"), ("exit()", "exit()")])
def test_a_module_that_ends_the_program_when_it_is_imported_is_an_error_too(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, call: str, told: str
) -> None:
    name = f"leaves_{len(call)}"
    (tmp_path / f"{name}.py").write_text(f"import sys\nsys.{call}\n")
    monkeypatch.syspath_prepend(tmp_path)
    for resolve in (resolve_strategy, resolve_model):
        with pytest.raises(ScenarioError, match="ended the program with sys") as caught:
            resolve(f"{name}:Class")
        assert told in str(caught.value)


def test_a_name_that_is_taken_is_refused_and_both_are_named() -> None:
    with pytest.raises(ScenarioError) as caught:
        register("fedbuff")(type("Mine", (Elsewhere,), {"__module__": "mine"}))
    assert "'fedbuff': afl_sim.strategies.methods.fedbuff:FedBuff and mine:Mine" in str(
        caught.value
    )
    assert strategies()["fedbuff"] is FedBuff


def test_a_module_that_is_imported_anew_may_register_its_strategy_again() -> None:
    for _ in range(2):
        cls = register("again")(type("Again", (Elsewhere,), {"__module__": "mine"}))
    assert strategies()["again"] is cls


def test_an_entry_point_adds_a_strategy(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, ("elsewhere", f"{MODULE}:Elsewhere"))
    found = strategies()
    assert found["elsewhere"] is module.Elsewhere
    assert found["elsewhere"]().kind == "elsewhere"
    assert found["fedavg"] is FedAvg


def test_an_entry_point_does_not_take_a_built_in_name(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, ("fedbuff", f"{MODULE}:Elsewhere"))
    assert strategies()["fedbuff"] is FedBuff


@pytest.mark.parametrize(
    ("value", "reason"),
    [("no_such_package:Class", "no_such_package"), (f"{MODULE}:NotAStrategy", "not a subclass")],
)
def test_a_broken_entry_point_is_an_error_that_names_it(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, value: str, reason: str
) -> None:
    installed(monkeypatch, ("broken", value))
    with pytest.raises(ScenarioError, match=reason) as caught:
        strategies()
    assert value in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_group_of_entry_points_is_the_documented_one() -> None:
    assert registry.ENTRY_POINTS == "afl_sim.strategies"
