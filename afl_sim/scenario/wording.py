"""How messages quote a value and suggest a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def hint(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """``; did you mean 'x'?`` for the nearest known name, or nothing.

    ``cutoff`` is how near it has to be, from 0 to 1. Upper and lower case count as equal.
    """
    names = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), list(names), 1, cutoff)
    return f"; did you mean '{names[near[0]]}'?" if near else ""


def one_line(text: str, longest: int = 2000) -> str:
    """The text with line breaks and other unprintable characters escaped, cut at a length."""
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def exact(value: float) -> str:
    """A number as short as it can be written without rounding it."""
    if isinstance(value, int):
        exponent = value.bit_length() - 1
        return f"2**{exponent}" if exponent >= 40 and value == 2**exponent else str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value).removesuffix(".0")


def show(raw: Any) -> str:
    """A value as a message quotes it, short."""
    if raw is None:
        return "nothing"
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str):
        text = raw if len(raw) <= 40 else raw[:37] + "..."
        return repr(text)
    if isinstance(raw, int | float):
        try:
            text = repr(raw)
        except ValueError:
            return "a number of thousands of digits"
        return text if len(text) <= 40 else f"a number of {len(text)} digits"
    if isinstance(raw, dict) and type(raw) is not dict:
        return repr(raw)
    if isinstance(raw, dict):
        return "a block" if raw else "an empty block"
    if isinstance(raw, list | tuple):
        return f"a list of {len(raw)}" if raw else "an empty list"
    return f"a {type(raw).__name__}"
