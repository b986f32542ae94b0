"""The page docs/commands.md, from what the command line says of itself in --help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer.main import get_command

from afl_sim.cli import app

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "commands.md"
KINDS = {int: "NUMBER", float: "NUMBER", Path: "PATH"}
HEAD = """\
# Commands

Every command with its arguments and options, as `afl-sim COMMAND --help` prints them. This page is
generated from the code by `python docs/generate.py`.

| exit code | meaning |
|---:|---|
| 0 | done |
| 1 | the run failed; `diff` found a difference; `theory` missed a result |
| 2 | the input is wrong; nothing was written |
| 130 | interrupted; `afl-sim resume` continues |
"""


def page() -> str:
    """The whole page."""
    group: Any = get_command(app)
    commands = [(name, group.commands[name]) for name in group.list_commands(None)]
    rows = [f"| [`afl-sim {name}`](#{name}) | {text(command.help)} |" for name, command in commands]
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    return "\n\n".join([HEAD + "\n" + table, *(section(*each) for each in commands)]) + "\n"


def section(name: str, command: Any) -> str:
    """A command: how it is typed, and a row for each argument and option."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    usage = " ".join(
        ["afl-sim", name, *map(placeholder, arguments), *(["[OPTIONS]"] if options else [])]
    )
    rows = [f"| `{p.name.upper()}` | {described(p)} |" for p in arguments]
    rows += [f"| {spelled(p)} | {described(p)} |" for p in options]
    parts = [f"## {name}", text(command.help), f"```text\n{usage}\n```"]
    if rows:
        parts.append("\n".join(["| argument or option | meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def placeholder(argument: Any) -> str:
    """An argument as it stands in a usage line."""
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def spelled(option: Any) -> str:
    """An option's names, with its kind of value unless it is a switch."""
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    kind = option.type_descriptor.annotation
    if kind is bool:
        return names
    return f"{names} `{option.metavar or KINDS.get(kind, 'TEXT')}`"


def described(parameter: Any) -> str:
    """The help of an argument or option, with its default."""
    said = text(parameter.help)
    if parameter.required and parameter.param_type_name == "option":
        return f"{said} Required."
    if parameter.required or parameter.default in (None, False):
        return said
    return f"{said} Default `{parameter.default}`."


def text(said: str | None) -> str:
    """Help on one line, safe within a table."""
    return re.sub(r"\s+", " ", said or "").strip().replace("|", "\\|")
