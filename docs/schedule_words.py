"""The table of the words of a schedule in docs/schedules.md, from the protocols that type them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from afl_sim.strategies.server_knowledge import ServerKnowledge
from afl_sim.strategies.server_view import OLDER_WORDS, ServerView

PAGE = Path(__file__).resolve().parent / "schedules.md"
BEGIN = "<!-- The table is made from afl_sim/strategies/server_*.py by docs/generate.py. -->"
END = "<!-- End of the table. -->"


def page() -> str:
    """docs/schedules.md with the table as it should be."""
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE.name}: expected the lines {BEGIN!r} and {END!r} around the table")
    return f"{before}{begin}\n\n{table()}\n{end}{after}"


def table() -> str:
    """The words with what their docstrings say, in the protocols' order."""
    rows = [
        f"| `{_usage(name, member)}` | {_meaning(member)} |"
        for protocol in (ServerKnowledge, ServerView)
        for name, member in vars(protocol).items()
        if not name.startswith("_") and name not in OLDER_WORDS
    ]
    return "\n".join(["| word | what it does |", "|---|---|", *rows]) + "\n"


def _usage(name: str, member: object) -> str:
    """How a schedule writes the word."""
    if isinstance(member, property):
        return f"server.{name}"
    signature = inspect.signature(member)  # type: ignore[arg-type]
    shown = ", ".join(map(_argument, list(signature.parameters.values())[1:]))
    waits = name != "spawn" and str(signature.return_annotation).startswith("Event")
    return f"{'yield ' if waits else ''}server.{name}({shown})"


def _argument(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_KEYWORD:
        return f"**{parameter.name}"
    if parameter.kind is parameter.KEYWORD_ONLY:
        return f"{parameter.name}="
    has_default = parameter.default is not parameter.empty
    return f"{parameter.name}={parameter.default}" if has_default else parameter.name


def _meaning(member: object) -> str:
    """The docstring without its sections (arguments, errors, example)."""
    text = re.split(r"\n\n(?=[A-Z]\w+:\n)", inspect.getdoc(member) or "")[0]
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")
