"""A mistake in the layout of a file is told by the line in which it was made."""

from __future__ import annotations

import pytest

from afl_sim.scenario.yaml.nodes import Unreadable, compose


def told(text: str) -> str:
    with pytest.raises(Unreadable) as caught:
        compose(text, "f")
    (found,) = caught.value.misreadings
    return f"{found.where.removeprefix('f:')}: {found.message.removeprefix('not valid YAML: ')}"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (
            "clients:\n  count: 5\n    queue: none\n",
            "3: this line is indented by 4 spaces, deeper than the key 'count' of line 2, which "
            "has a value already; expected 2 spaces",
        ),
        (
            "x:\n  - a: 1\n     b: 2\n",
            "3: this line is indented by 5 spaces, deeper than the key 'a' of line 2, which has a "
            "value already; expected 4 spaces",
        ),
        (
            "clients:\n  # how many\n  count: 5\n\n   queue: none\n",
            "5: this line is indented by 3 spaces, deeper than the key 'count' of line 3, which "
            "has a value already; expected 2 spaces",
        ),
        (
            "strategy: {kind: a}\n  stop: 5\n",
            "2: this line is indented by 2 spaces, deeper than line 1 with 0 spaces; expected 0",
        ),
        (
            "clients:\n    count: 5\n  queue: none\n",
            "3: this line is indented by 2 spaces, not as far as line 2 with 4 spaces; expected 0 "
            "or 4",
        ),
    ],
)
def test_indentation_that_fits_nothing_is_compared_with_the_line_above(
    text: str, where: str
) -> None:
    assert told(text) == where


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("clients:\n  count 5\n  queue: none\n", "2: no colon after 'count'; expected 'count: 5'"),
        ("clients\n  count: 5\n", "1: no colon after 'clients'; expected 'clients:'"),
        ("name: a\nseed 5\nstop: {}\n", "2: no colon after 'seed'; expected 'seed: 5'"),
        ("name: a\nseed = 5\nstop: {}\n", "2: no colon after 'seed'; expected 'seed: 5'"),
        ("clients:\n  count:5\n  queue: a\n", "2: no space after the colon; expected 'count: 5'"),
    ],
)
def test_a_line_without_a_colon_is_shown_with_one(text: str, where: str) -> None:
    assert told(text) == where


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("name: a\nclients: {count: 5\nseed: 1\n", "2: the brace { is not closed before line 3"),
        ("stop: {updates: 3", "1: the brace { is not closed before the end of the text"),
        ("a: {b: [1, 2}\n", "1: the bracket [ is not closed before the }; expected ]"),
        ("a: [1,\n  2\nb: 3\n", "1: the bracket [ is not closed before line 3"),
        ("a: {b: 1 c: 2}\n", "1: a comma is missing after an entry"),
        ("a: {b: 1}}\n", "1: a } without the { before it"),
        ("a: 1\nb: 'x\nc: 2\n", "2: the quotation that begins here has no end"),
    ],
)
def test_what_is_not_closed_is_told_where_it_was_opened(text: str, where: str) -> None:
    assert told(text).startswith(where)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: 'x' y\n", "1: text after the end of a value"),
        ("a: %x\n", "1: text that begins with % has to be in quotes"),
        ("a: - 1\n", "1: a list begins on a line of its own, or is written [a, b]"),
        ("a: 1\n- b\n", "2: an entry of a list among the keys of the block"),
        ("- a\nb: 1\n", "2: a key among the entries of the list"),
    ],
)
def test_other_mistakes_are_told_without_the_parsers_words(text: str, where: str) -> None:
    assert told(text).startswith(where)
