"""How messages quote a value and suggest a name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final

SYNONYMS: Final = {
    "learning_rate": "lr",
    "eta": "lr",
    "rounds": "versions",
    "max_rounds": "versions",
    "num_rounds": "versions",
    "n_rounds": "versions",
    "global_rounds": "versions",
    "iterations": "versions",
    "max_iterations": "versions",
    "time": "virtual_seconds",
    "max_time": "virtual_seconds",
    "duration": "virtual_seconds",
    "until": "virtual_seconds",
    "horizon": "virtual_seconds",
    "num_clients": "count",
    "n_clients": "count",
    "local_epochs": "epochs",
    "local_steps": "steps",
    "fraction": "clients_per_round",
    "fraction_fit": "clients_per_round",
    "participation": "clients_per_round",
    "buffer": "buffer_size",
    "gpu": "cuda",
    "mae": "l1",
    "smooth_l1": "huber",
    "mean_squared_error": "mse",
    "l2": "mse",
    "ce": "cross_entropy",
    "lognormal": "lognorm",
    "exponential": "expon",
    "weibull": "weibull_min",
    "non_iid": "dirichlet",
    "lda": "dirichlet",
    "fedsgd": "fedavg",
}
"""Words of other tools and papers, in small letters, for the names that are used here."""


def hint(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """``; did you mean 'x'?`` for the nearest known name, or nothing.

    A word that other tools use for one of the names comes first. Else ``cutoff`` is how near it has
    to be, from 0 to 1. Upper and lower case count as equal.
    """
    names = {name.casefold(): name for name in known}
    other = SYNONYMS.get(word.casefold(), "")
    if other in names and word.casefold() not in names:
        return f"; did you mean '{names[other]}'?"
    near = difflib.get_close_matches(word.casefold(), list(names), 1, cutoff)
    return f"; did you mean '{names[near[0]]}'?" if near else ""


def meant_share(value: Any) -> str:
    """``; did you mean 0.95?`` for 95 and 95 %, where a share is expected, or nothing."""
    percent = value
    if isinstance(value, str) and re.match(r"[0-9]+(\.[0-9]+)? ?%\Z", value):
        percent = float(value.rstrip("% "))
    if isinstance(percent, bool) or not isinstance(percent, int | float):
        return ""
    return f"; did you mean {percent / 100:.6g}?" if 1 < percent <= 100 else ""


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
