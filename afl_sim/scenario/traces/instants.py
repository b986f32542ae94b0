"""Dates and times of the calendar, and the instant that is time zero of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from afl_sim.scenario.wording import show

_ISO: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?)?"
    r" ?(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?\Z"
)
EXPECTED: Final = "a date and time such as 2024-03-01T22:00:00"


@dataclass(frozen=True, slots=True)
class Instant:
    """An instant of the calendar.

    Attributes:
        us: microseconds since 1970-01-01T00:00:00, of UTC if it has a time zone.
        zoned: whether it has a time zone.
    """

    us: int
    zoned: bool


def looks_like_date(text: str) -> bool:
    """Whether a text is meant as a date, be it a proper one or not."""
    return re.match(r"[0-9]{4}-[0-9]{1,2}-[0-9]", text) is not None


def instant_of(cell: Any) -> Instant | None:
    """The instant in a cell; None if there is none.

    Text is of the form of ISO 8601: ``2024-03-01``, ``2024-03-01T22:00``, ``2024-03-01
    22:00:00.5+01:00``. A day has 24 hours, also where there is no time zone.
    """
    if isinstance(cell, Instant):
        return cell
    match = _ISO.match(cell.strip()) if isinstance(cell, str) else None
    if match is None:
        return None
    day, minute, second, fraction, zone = match.groups()
    try:
        found = datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}")
        offset = timedelta(0)
        if zone not in (None, "Z", "z"):
            read = datetime.fromisoformat(f"{day}T00:00:00{_with_colon(zone)}").utcoffset()
            offset = read if read is not None else offset
    except ValueError:
        return None
    since = found - datetime(1970, 1, 1) - offset
    us = since // timedelta(microseconds=1) + int((fraction or "").ljust(6, "0")[:6])
    return Instant(us, zone is not None)


def _with_colon(zone: str) -> str:
    digits = zone[1:].replace(":", "")
    return f"{zone[0]}{digits[:2]}:{digits[2:] or '00'}"


def origin_problem(origin: float | str | None, zoned: bool | None) -> str | None:
    """What is wrong with an origin for the times of a file; None if nothing is.

    Args:
        origin: as the scenario says.
        zoned: whether the file's dates have a time zone; None if it has numbers of seconds.
    """
    if origin is None:
        return None
    if zoned is None:
        if isinstance(origin, str):
            return f"got {show(origin)}, but the times in the file are numbers; expected a number"
        return None
    found = instant_of(origin)
    if found is None:
        return f"got {show(origin)}, but the file has dates; expected {EXPECTED}"
    if found.zoned != zoned:
        has, other = ("a time zone", "none") if found.zoned else ("no time zone", "one")
        return f"has {has}, but the times in the file have {other}; expected the same"
    return None
