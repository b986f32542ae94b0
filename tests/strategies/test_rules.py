"""What holds for every strategy that has a name, whatever its settings."""

from __future__ import annotations

import re
from typing import Any

import pytest

from afl_sim.errors import ScenarioError
from afl_sim.strategies import About, resolve_strategy, strategies

NAMES = sorted(strategies())


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_knows_its_name(name: str) -> None:
    assert strategies()[name]().kind == name


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_says_where_it_comes_from(name: str) -> None:
    cls = strategies()[name]
    about = vars(cls).get("about")  # its own, not one that it inherits
    assert isinstance(about, About)
    # The citation's year stands in the docstring too.
    assert about.citation.split(",")[-1].split("(")[0].strip()[-4:] in (cls.__doc__ or "")


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_says_what_its_rule_was_checked_against(name: str) -> None:
    about = strategies()[name].about
    assert about is not None
    if about.checked:
        assert about.source
    else:
        assert about.unconfirmed
    if about.checked == "authors' code":
        assert re.search(r"[\w-]+/[\w.-]+, [\w/]+\.py", about.source), "owner/name, file"


def test_how_sure_a_rule_is_has_four_names() -> None:
    def standing(**says: Any) -> str:
        return About("somebody, 2020", "asynchronous", **says).standing

    assert standing(checked="paper", source="Algorithm 1") == "confirmed"
    assert standing(checked="authors' code", source="a/b, c.py") == "authors' code"
    assert standing(checked="re-implementations", unconfirmed="a step") == "re-implementations"
    assert standing(unconfirmed="the rule") == "unconfirmed"
    assert standing() == ""  # a strategy that is not from a paper


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_setting_is_refused(name: str) -> None:
    with pytest.raises(ScenarioError, match="no_such_setting"):
        strategies()[name](no_such_setting=1)


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_suit_a_hundred_clients(name: str) -> None:
    assert list(strategies()[name]().check(100)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_class_can_also_be_named_by_its_path(name: str) -> None:
    cls = strategies()[name]
    path = f"{cls.__module__}:{cls.__qualname__}"
    assert resolve_strategy(path) is cls
    assert cls(kind=path).kind == path
