"""Which kind of measurements a file seems to hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from afl_sim.errors import InputError
from afl_sim.importers.reading import Source
from afl_sim.scenario.traces.tables.cells import is_number
from afl_sim.scenario.traces.tables.formats import like_mahimahi

ABOUT: Final = {
    "mahimahi": "a packet-delivery trace of Mahimahi",
    "hsdpa": "a bandwidth log of six columns, as of HSDPA or 4G",
    "pensieve": "a bandwidth trace of two columns, seconds and Mbit/s",
    "fcc": "a table of the FCC's Measuring Broadband America",
    "bandwidth": "a table of times and bandwidths",
    "fedscale": "a device trace of FedScale",
    "flash": "a state trace of FLASH",
    "mobiperf": "measurements of MobiPerf in JSON",
    "availability": "a log of when clients are available",
    "devices": "a table of devices",
}
"""The kinds of files that can be imported, and what each is."""

_LOOKED_AT: Final = 1 << 16  # bytes
_LINES: Final = 20
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\Z")


def looks_like(content: bytes) -> str | None:
    """The kind of files whose content begins in this way; None if it could be several."""
    start = content[:_LOOKED_AT]
    if re.match(rb"\x80[\x00-\x05]|\(dp[0-9]|\(lp[0-9]", start):
        return "fedscale"
    text = start.decode("utf-8", "replace").lstrip("\ufeff").lstrip()
    if text.startswith(("{", "[")):
        return _like_json(text)
    lines = [line.strip() for line in text.splitlines()[: _LINES + 1]]
    if len(start) == _LOOKED_AT and len(lines) > 1:
        lines.pop()  # it may be cut off
    return _like_text([line for line in lines if line][:_LINES])


def _like_json(text: str) -> str | None:
    for key, kind in (
        ("messages", "flash"),
        ("tcp_speed_results", "mobiperf"),
        ("computation", "fedscale"),
        ("finish_time", "fedscale"),
    ):
        if f'"{key}"' in text:
            return kind
    return None


def _like_text(lines: Sequence[str]) -> str | None:
    if not lines:
        return None
    if len(lines) > 1 and like_mahimahi(list(lines)):
        return "mahimahi"
    widths = {len(line.split()) for line in lines}
    if len(widths) == 1 and all(is_number(cell) for line in lines for cell in line.split()):
        return {2: "pensieve", 6: "hsdpa"}.get(widths.pop())
    cells = [cell.strip().strip('"') for cell in lines[0].split(",")]
    if {"unit_id", "bytes_sec"} <= set(cells):
        return "fcc"
    if len(cells) >= 7 and _DATE.match(cells[1]) and is_number(cells[6]):
        return "fcc"
    return None


def expect(kind: str, sources: Sequence[Source]) -> None:
    """Refuse files that look like those of another kind.

    Raises:
        InputError: one does.
    """
    for source in sources:
        seems = looks_like(source.content)
        if seems is not None and seems != kind:
            raise InputError(
                f"{source.path}:1: looks like {ABOUT[seems]}, and not like {ABOUT[kind]}; "
                f"expected afl-sim import {seems}, or another file"
            )


def sources_of(kind: str, paths: Sequence[Path]) -> list[Source]:
    """The open files, in the order of their names, so that a shell's order does not matter.

    Raises:
        InputError: one cannot be read, is of another kind, or is named twice.
    """
    found = [Source(path) for path in sorted(dict.fromkeys(paths))]
    expect(kind, found)
    return found
