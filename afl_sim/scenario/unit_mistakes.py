"""What somebody likely meant who wrote a unit, or a text with one, that is not read."""

from __future__ import annotations

import re
from typing import Final

from afl_sim.scenario.unit_tables import DURATIONS, OPERATION_RATES, RATES, SIZES
from afl_sim.scenario.wording import hint

TWO_NUMBERS: Final = re.compile(r"[0-9].*[^0-9.,eE+_-].*[0-9]")
_MEANT: Final = {
    **dict.fromkeys(("m", "M", "mn", "mins", "Min", "MIN", "Minutes", "Minute"), "min"),
    **dict.fromkeys(("sec", "secs", "S", "Sec", "Second", "Seconds"), "s"),
    **dict.fromkeys(("hr", "hrs", "H", "Hour", "Hours"), "h"),
    **dict.fromkeys(("D", "Day", "Days"), "d"),
    **dict.fromkeys(("msec", "Ms", "MS", "mS", "millis"), "ms"),
    **dict.fromkeys(("usec", "Us", "US", "uS", "micros"), "us"),
}
"""What is likely meant by units of time that are not in the list."""
_OTHER_WORDS: Final = re.compile(
    r"(?:mins|Minutes?|hrs?|Hours?|Days?|[mu]secs?|M[sS]|mS|millis|micros"  # Min is a minimum, too
    r"|(?i:[kmgt]i?(?:b|bytes?)|[kmgt]?i?bits?|[kmgt]?i?(?:b|bits?|bytes?)(?:/s|/sec|/second|ps)"
    r"|[kmgtp]flops?(?:/s|/sec|/second)?|[kmu]w|[kmu]j|[km]?wh))\Z"
)
"""What the name of a column ends with where a unit is meant; most of it is no unit here."""
_BYTES_OR_BITS: Final = re.compile(
    r"([kmgt]?)(i?)(b|bits?|bytes?)(?:/s|/sec|/second|ps)?\Z", re.IGNORECASE
)


def form(text: str) -> str:
    """Why a text is no number with a unit, where that can be said."""
    if re.search(r"[0-9],[0-9]", text):
        return " (the decimal sign is a point)"
    if re.match(r"\s*[0-9]+:[0-9]+", text):
        return " (a time of day or a duration with colons is not read)"
    if TWO_NUMBERS.search(text):
        return " (one number with one unit: 200 s, not 3 min 20 s)"
    return ""


def is_meant(word: str) -> bool:
    """Whether the end of a column's name is likely meant as a unit, such as ``msec``."""
    return _OTHER_WORDS.match(word.replace("_per_", "/")) is not None


def meant_duration(unit: str) -> str:
    """The unit of time that is likely meant, for a message; or nothing."""
    near = _MEANT.get(unit)
    return f"; did you mean '{near}'?" if near else hint(unit, DURATIONS)


def meant_size(unit: str) -> str:
    """The unit of bytes that is likely meant, for a message; or nothing."""
    match = _BYTES_OR_BITS.match(unit.replace(" ", ""))
    if match is None or "/" in unit or unit.endswith("ps"):
        return hint(unit, SIZES, 0.75)
    prefix = match[1].upper() if match[1] not in ("k", "K") or match[2] else "k"
    octets = f"'{prefix}{'i' if match[2] else ''}B'"
    if match[3].lower().startswith("bit"):
        return f"; did you mean {octets}, of which each has 8 bits?"
    if match[1] == "K" and not match[2]:
        return f"; did you mean {octets} (1000 bytes) or 'KiB' (1024 bytes)?"
    return f"; did you mean {octets}?"


def meant_operations(unit: str) -> str:
    """The unit of operations per second that is likely meant, for a message; or nothing."""
    match = re.match(r"([kmgtp]?)flops?(?:/s|/sec|/second)?\Z", unit, re.IGNORECASE)
    if match is None:
        return hint(unit, OPERATION_RATES, 0.75)
    prefix = "k" if match[1].lower() == "k" else match[1].upper()
    return f"; did you mean '{prefix}FLOP/s'?"


def meant_rate(unit: str) -> str:
    """The unit of bytes per second that is likely meant, for a message; or nothing."""
    if f"{unit}/s" in RATES:
        return f"; did you mean '{unit}/s'?"
    match = _BYTES_OR_BITS.match(unit.replace(" ", ""))
    if match is None:
        return hint(unit, RATES, 0.75)
    binary = "i" if match[2] else ""
    prefix = match[1].upper() if match[1] not in ("k", "K") or binary else "k"
    octets, bits = f"'{prefix}{binary}B/s'", f"'{prefix}{binary}bit/s'"
    if match[3].lower().startswith("bit"):
        return f"; did you mean {bits}?"
    if match[3] == "b":
        return f"; did you mean {octets} (bytes) or {bits} (bits)?"
    if match[1] == "K" and not binary:
        return f"; did you mean {octets} (1000 bytes) or 'KiB/s' (1024 bytes)?"
    return f"; did you mean {octets}?"
