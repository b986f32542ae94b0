"""A user's own rule: found by its path or its entry point, and its keys are checked."""

from __future__ import annotations

import pickle
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from afl_sim.errors import ScenarioError
from afl_sim.scenario.own_rules import OpenTo, Rule, RuleKind, finding, load, rules_in

MODULE = "rules_from_elsewhere"
CODE = """
from afl_sim.scenario.own_rules import Rule
from {test} import Sizing

def plain(value, *, factor: float = 2.0, shift=1):
    return factor * value + shift

def untyped(value, other): ...
def nothing(): ...
def greedy(value, **others): ...
def shadowing(value, kind="x"): ...

class Doubling(Sizing):
    factor: int = 2
    def size(self, value):
        return self.factor * value

class Empty(Sizing): ...

class Wrong(Sizing):
    def size(self): ...

class Mutable(Doubling):
    model_config = {{"frozen": False}}

class Private(Doubling):
    _count: int = 0

largest = max
"""


class Sizing(Rule):
    """A kind of rule for these tests."""

    def size(self, value: int) -> float:
        raise NotImplementedError


class Fixed(BaseModel):
    """A kind that is built in."""

    kind: Literal["fixed"] = "fixed"
    level: int = 3


KIND = RuleKind("sizing", "afl_sim.sizings", Sizing, "size", ("value",))
BLOCK: TypeAdapter[Any] = TypeAdapter(
    Annotated[Annotated[Fixed, Field()], OpenTo(KIND, ("fixed",))]
)


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, found)
    exec(CODE.format(test=__name__), found.__dict__)
    return found


def kind(name: str) -> str:
    return f"{MODULE}:{name}"


def test_a_class_and_a_function_are_found_by_their_path_and_their_keys_are_fields() -> None:
    of_class = BLOCK.validate_python({"kind": kind("Doubling"), "factor": 5})
    of_function = BLOCK.validate_python({"kind": kind("plain"), "factor": 5})
    assert (of_class.size(10), of_function.size(10)) == (50, 51)
    assert BLOCK.validate_python(kind("plain")).size(10) == 21
    assert BLOCK.validate_python("fixed") == Fixed()


def test_a_rule_is_frozen_and_survives_pickling_and_a_round_trip() -> None:
    for name in ("Doubling", "plain"):
        rule = BLOCK.validate_python({"kind": kind(name), "factor": 7})
        assert pickle.loads(pickle.dumps(rule)) == rule
        assert BLOCK.validate_python(BLOCK.dump_python(rule, mode="json")) == rule
        with pytest.raises(ValidationError):
            rule.factor = 1
        with pytest.raises(ValueError, match="memory"):
            rule.memory = 1


def test_a_rule_that_is_made_in_python_knows_its_path() -> None:
    assert Sizing().kind == f"{__name__}:Sizing"
    assert KIND.rule_of(sys.modules[MODULE].plain, factor=3).kind == kind("plain")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Doublin", "has no 'Doublin'; did you mean 'Doubling'?"),
        ("Empty", "has no method size; expected size(self, value)"),
        ("Wrong", "expected size(self, value)"),
        ("untyped", "the setting 'other' has no type; expected an annotation"),
        ("nothing", "takes (); expected to call"),
        ("greedy", "the parameter **others cannot be a setting"),
        ("shadowing", "a setting cannot be called 'kind'"),
        ("Mutable", "can change while it is used; expected a frozen class"),
        ("Private", "can change while it is used; expected a frozen class"),
        ("largest", "does not say what it takes; expected to call"),
        ("Rule", "is the class Rule; expected a subclass of afl_sim.Sizing, or a function of"),
        ("__name__", "is of type str; expected a subclass"),
    ],
)
def test_what_is_no_rule_is_one_error_at_its_kind(name: str, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        BLOCK.validate_python({"kind": kind(name)})
    (error,) = caught.value.errors()
    assert told in error["msg"]
    assert "\n" not in error["msg"]
    assert error["loc"][-1] == "kind"


def test_an_unknown_name_lists_the_known_ones_and_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = EntryPoint("twofold", kind("Doubling"), KIND.group)
    monkeypatch.setattr(finding, "entry_points", lambda group: [entry])
    with pytest.raises(
        ValidationError, match=r"one of fixed, twofold, or package\.module:name"
    ) as e:
        BLOCK.validate_python("twofld")
    assert "did you mean 'twofold'?" in str(e.value)
    found = BLOCK.validate_python("twofold")
    assert (found.kind, found.size(4)) == ("twofold", 8)
    assert pickle.loads(pickle.dumps(found)) == found
    assert {"enum": ["twofold"]} in BLOCK.json_schema()["anyOf"]


def test_a_built_in_name_is_not_taken_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("fixed", kind("Doubling"), KIND.group)
    monkeypatch.setattr(finding, "entry_points", lambda group: [entry])
    assert BLOCK.validate_python("fixed") == Fixed()


@pytest.mark.parametrize("key", ["facter", "level"])
def test_a_key_that_the_rule_does_not_have_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        BLOCK.validate_python({"kind": kind("plain"), key: 1})


@pytest.mark.parametrize("path", ["no_such_module:x", ":x", "plain", ".x:y", f"{MODULE}:"])
def test_a_path_that_leads_nowhere_is_an_error_of_one_line(path: str) -> None:
    with pytest.raises(ScenarioError, match="cannot import sizing") as caught:
        load(path, "sizing")
    assert "\n" not in str(caught.value)
    assert ".py:" not in str(caught.value)


def test_an_error_on_import_names_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raises_at_import.py").write_text("\nraise LookupError('out of order')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ScenarioError, match=r"LookupError: out of order \(.*import.py:2\)$"):
        load("raises_at_import:x", "sizing")


def test_the_rules_in_a_section_are_found_with_their_keys() -> None:
    class Section(BaseModel):
        first: Sizing | None = None
        others: tuple[Sizing, ...] = Field((), alias="more")

    rule = Sizing()
    assert list(rules_in(Section(first=rule, more=(rule, rule)))) == [
        (("first",), rule),
        (("more", "0"), rule),
        (("more", "1"), rule),
    ]


def test_a_package_that_is_installed_later_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(name: str) -> None:
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "entry_points.txt").write_text(f"[{KIND.group}]\n{name} = elsewhere:{name}\n")

    monkeypatch.syspath_prepend(tmp_path)
    assert list(finding.installed(KIND.group)) == []
    install("first")
    assert list(finding.installed(KIND.group)) == ["first"]
    install("second")
    assert list(finding.installed(KIND.group)) == ["first", "second"]
    monkeypatch.undo()
    assert list(finding.installed(KIND.group)) == []
