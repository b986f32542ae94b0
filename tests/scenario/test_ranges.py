"""The ranges of what a design may vary: every mistake in one is told with its key."""

from __future__ import annotations

from typing import Any

import pytest

from afl_sim.scenario.sections.ranges import is_range, problems


@pytest.mark.parametrize(
    "value",
    [
        [1, 2.5, "fast", [3, 4]],
        [{"kind": "fedbuff", "server_optimizer": {"kind": "sgd", "lr": 0.1}}],
        {"integers": [1, 1]},
        {"integers": [1, 5.0], "log": True},
        {"numbers": [0, 1], "log": False},
        {"choices": [{"kind": "sgd", "lr": {"numbers": [0.01, 1], "log": True}}]},
    ],
)
def test_what_is_written_as_it_should_be_has_no_mistake(value: Any) -> None:
    assert list(problems(value, "key")) == []


def test_a_block_of_settings_is_no_range() -> None:
    assert is_range({"numbers": [0, 1]})
    assert not is_range({"kind": "fedbuff", "log": True})
    assert not is_range([0, 1])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "key: got an empty list, so there is nothing to choose from"),
        (
            {"choices": []},
            "key.choices: got an empty list; expected a list with at least one value",
        ),
        ({"choices": 3}, "key.choices: got 3; expected a list with at least one value"),
        (
            {"choices": [1], "log": True},
            "key.log: choices have no scale; expected integers or numbers beside it",
        ),
        (
            {"integers": [1, 2], "numbers": [1, 2]},
            "key: has both integers and numbers; expected one of them",
        ),
        ({"numbers": [1]}, "key.numbers: got a list of 1; expected [LOW, HIGH]"),
        ({"numbers": [True, 2]}, "key.numbers.0: got true; expected a number"),
        ({"integers": [1, "9k"]}, "key.integers.1: got '9k'; expected a number"),
        ({"integers": [0.5, 2]}, "key.integers: got 0.5 and 2; expected whole numbers"),
        (
            {"numbers": [2, 1]},
            "key.numbers: got 2 and 1, an empty range; expected the lower first",
        ),
        ({"numbers": [1, 2], "log": "yes"}, "key.log: got 'yes'; expected true or false"),
        (
            {"integers": [0, 2], "log": True},
            "key.integers: got 0; expected numbers above 0 on a logarithmic scale",
        ),
        (
            {"numbers": [1, 2], "lgo": True},
            "key.lgo: unknown key; expected choices, integers, numbers, log; did you mean 'log'?",
        ),
    ],
)
def test_a_mistake_says_where_it_is_and_what_is_expected(value: Any, told: str) -> None:
    assert list(problems(value, "key")) == [told]


def test_the_place_of_a_mistake_inside_a_choice_has_the_way_to_it() -> None:
    wrong = {"integers": [2, 1]}
    told = ".integers: got 2 and 1, an empty range; expected the lower first"
    assert list(problems([1, {"server": {"size": wrong}}], "key")) == [f"key.1.server.size{told}"]
    assert list(problems({"choices": [wrong]}, "key")) == [f"key.0{told}"]
    assert list(problems([[wrong]], "key")) == []  # a list in a choice is a value
