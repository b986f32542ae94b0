"""What is wrong with the layout of a YAML text, in terms of its lines."""

from __future__ import annotations

import re

import yaml

from afl_sim.scenario.wording import show

_OPENED = {"{": "brace", "[": "bracket"}
_CLOSED = {"{": "}", "[": "]"}


def layout_problem(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """The line to blame for a syntax error, from 0, and what is wrong with it.

    The parser says where it stopped. That is often a line below the one with the mistake.

    Args:
        error: what PyYAML's own parser raised; other parsers word their messages differently.
        text: the whole text.
    """
    lines = text.splitlines()
    mark = error.problem_mark or error.context_mark
    at = mark.line if mark is not None else 0
    column = mark.column if mark is not None else 0
    start = error.context_mark.line if error.context_mark is not None else at
    problem = error.problem or error.context or "unreadable"
    context = error.context or ""
    if "'\\t'" in problem:
        return at, "a tab where spaces are expected; indent with spaces"
    if problem == "mapping values are not allowed here":
        return _second_colon(lines, at, column)
    if problem.startswith("could not find expected ':'"):
        return start, _no_colon(_line(lines, start))
    if context.startswith("while parsing a flow") and error.context_mark is not None:
        return start, _not_closed(lines, error.context_mark, at, problem)
    if context.startswith("while scanning a quoted scalar"):
        return start, "the quotation that begins here has no end"
    if problem.startswith("expected <block end>"):
        return at, _wrong_place(lines, at, start, problem)
    if problem.startswith("found character") and "cannot start" in problem:
        first = _line(lines, at)[column : column + 1]
        return at, f"text that begins with {first} has to be in quotes"
    if problem == "sequence entries are not allowed here":
        return at, "a list begins on a line of its own, or is written [a, b]"
    problem = problem.replace("<block end>", "the end of the block")
    return at, re.sub(r"'?<([a-z ]+)>'?", r"\1", problem)


def _line(lines: list[str], at: int) -> str:
    return lines[at] if at < len(lines) else ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _before(lines: list[str], at: int) -> int | None:
    """The last line above one that is neither blank nor a comment."""
    for i in range(min(at, len(lines)) - 1, -1, -1):
        if lines[i].strip() and not lines[i].lstrip().startswith("#"):
            return i
    return None


def _spaces(count: int) -> str:
    return f"{count} space{'' if count == 1 else 's'}"


def _has_key(line: str) -> bool:
    return re.match(r"\s*(?:- +)*[^\s#'\"{\[][^#]*?:(?:\s|$)", line) is not None


def _second_colon(lines: list[str], at: int, column: int) -> tuple[int, str]:
    """A colon that cannot be the one of a key."""
    line, above = _line(lines, at), _before(lines, at)
    first = re.match(r"\s*(?:- +)*[^\s:][^:]*", line)
    if first is None or first.end() < column or above is None:
        return at, "a second colon in the line; text with a colon and a space has to be in quotes"
    if not _has_key(lines[above]):
        return above, _no_colon(lines[above])
    key = lines[above].strip().removeprefix("- ").partition(":")[0]
    level = _key_indent(lines[above])
    return at, (
        f"this line is indented by {_spaces(_indent(line))}, deeper than the key {show(key)} of "
        f"line {above + 1}, which has a value already; expected {_spaces(level)}"
    )


def _no_colon(line: str) -> str:
    written = line.strip().removeprefix("- ")
    word = re.match(r"[\w.]+", written)
    if word is not None and written[word.end() : word.end() + 1] == ":":
        rest = written[word.end() + 1 :]
        return f"no space after the colon; expected '{word[0]}: {rest}'"
    if word is None:
        return f"no colon in this line: {show(written)}; expected key: value"
    value = written[word.end() :].lstrip(" =")
    return f"no colon after {show(word[0])}; expected '{f'{word[0]}: {value}'.strip()}'"


def _not_closed(lines: list[str], opened: yaml.Mark, at: int, problem: str) -> str:
    sign = _line(lines, opened.line)[opened.column : opened.column + 1]
    if sign not in _CLOSED:
        return problem
    closing = _CLOSED[sign]
    found = problem.rpartition("but got ")[2].strip("'")
    if at == opened.line and found not in ("}", "]", "<stream end>"):
        return f"a comma is missing after an entry, or the {sign} is not closed by {closing}"
    comma = ", or a comma is missing" if found not in ("}", "]", "<stream end>") else ""
    until = f"before the {found}" if at == opened.line else f"before line {at + 1}"
    if found == "<stream end>":
        until = "before the end of the text"
    return f"the {_OPENED[sign]} {sign} is not closed {until}; expected {closing}{comma}"


def _wrong_place(lines: list[str], at: int, start: int, problem: str) -> str:
    """Something where a block has to go on or end."""
    line, above = _line(lines, at), _before(lines, at)
    found = problem.rpartition("found ")[2].strip("'")
    if found in ("}", "]"):
        opening = "{" if found == "}" else "["
        return f"a {found} without the {opening} before it"
    if found == "<scalar>":
        return "text after the end of a value; expected a line of its own, or quotes around all"
    indent = _indent(line)
    if above is not None and found == "<block mapping start>":
        levels = sorted({_key_indent(lines[i]) for i in _open_lines(lines, at)})
        wanted = " or ".join(map(str, levels))
        deeper = "deeper" if indent > _indent(lines[above]) else "not as far as"
        than = f"{deeper} {'than ' if deeper == 'deeper' else ''}line {above + 1}"
        return (
            f"this line is indented by {_spaces(indent)}, {than} with "
            f"{_spaces(_indent(lines[above]))}; expected {wanted}"
        )
    if found == "-":
        return f"an entry of a list among the keys of the block that begins in line {start + 1}"
    if found == "?":
        return f"a key among the entries of the list that begins in line {start + 1}"
    return "this does not belong to the block above it"


def _key_indent(line: str) -> int:
    """The column of the first key of a line, behind the dash of a list's entry."""
    dash = re.match(r"\s*(?:- +)*", line)
    return dash.end() if dash is not None else 0


def _open_lines(lines: list[str], at: int) -> list[int]:
    """The nearest lines above one that begin the blocks in which it may stand."""
    found: list[int] = []
    least: int | None = None
    i = _before(lines, at)
    while i is not None:
        indent = _indent(lines[i])
        if least is None or indent < least:
            found.append(i)
            least = indent
        i = _before(lines, i)
    return found
