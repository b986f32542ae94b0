"""FedScale's device traces: how fast clients are, and when they are available."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from afl_sim.errors import InputError
from afl_sim.importers.availability import Stays, availability_of
from afl_sim.importers.imported import File, Imported, Table, counted, left_out
from afl_sim.importers.kinds import sources_of
from afl_sim.importers.pickles import read_pickle
from afl_sim.importers.reading import Source
from afl_sim.scenario.wording import exact, show

TRAINING_FACTOR: Final = 3.0
"""Time of a training step by that of an inference: FedScale's own assumption."""
BYTES_PER_SECOND: Final = 128.0
"""Of one unit of `communication`: FedScale divides kilobytes of 1024 bytes, times 8, by it."""


def import_fedscale(
    paths: Sequence[Path], factor: float = TRAINING_FACTOR, clients: int | None = None
) -> Imported:
    """The capacities of devices, the behaviour of clients, or both.

    Args:
        paths: at most one file of each; pickles, or the same as JSON.
        factor: how much longer a training step takes than an inference.
        clients: only so many of each are used, the first ones; None: all.

    Raises:
        InputError: a file is neither, or there are two of a kind.
    """
    sources = sources_of("fedscale", paths)
    tables: list[Table] = []
    block: dict[str, Any] = {}
    report: list[str] = []
    counts: list[int] = []
    exactly = False
    for source in sources:
        entries = _entries(source)
        some = next(iter(entries.values()))
        if "computation" in some and "devices" not in block:
            table = _devices(source, _first(entries, clients), factor)
            tables.append(table)
            block["devices"] = {"trace": File("devices")}
            counts.append(len(table.rows))
            report.append(f"{source.path}: {counted(len(table.rows), 'device')}")
        elif "active" in some and "availability" not in block:
            stays = _stays(source, _first(entries, clients))
            found, block["availability"], exactly = availability_of(stays)
            tables += found
            counts.append(len(stays))
            report.append(f"{source.path}: {counted(len(stays), 'client')} with availability")
        else:
            raise InputError(
                f"{source.path}: {'a second file of its kind' if block else _unknown(some)}; "
                "expected one file with computation and communication, one with active and "
                "inactive, or both"
            )
        report += left_out(source.dropped)
    count = counts[-1] if exactly else min(counts)
    if exactly:
        count = next(len(t.rows) for t in tables if t.name == "repeats")
    return Imported(tuple(tables), block, count, exactly, report)


def _unknown(entry: Mapping[str, Any]) -> str:
    return f"its entries have {', '.join(map(show, list(entry)[:5])) or 'no keys'}"


def _entries(source: Source) -> Mapping[Any, Mapping[str, Any]]:
    """The dictionary of a file, whose values are dictionaries."""
    if source.content.lstrip()[:1] in (b"{", b"["):
        try:
            found = json.loads(source.text())
        except (ValueError, RecursionError) as error:
            raise InputError(f"{source.path}: not readable as JSON: {error}") from None
    else:
        found = read_pickle(source.path, source.content)
    if not isinstance(found, dict) or not found:
        raise InputError(f"{source.path}: {_what(found)}; expected a dictionary of clients")
    for key, entry in found.items():
        if not isinstance(entry, dict):
            raise InputError(
                f"{source.path}: client {show(key)} has {_what(entry)}; expected a dictionary"
            )
    return found


def _what(value: Any) -> str:
    return "nothing" if value in (None, {}) else f"a {type(value).__name__}"


def _first(entries: Mapping[Any, Any], most: int | None) -> Mapping[Any, Any]:
    return dict(list(entries.items())[:most])


def _number(value: Any) -> float:
    """A finite number; NaN if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _devices(source: Source, entries: Mapping[Any, Mapping[str, Any]], factor: float) -> Table:
    rows = []
    for key, entry in entries.items():
        compute, bandwidth = _number(entry.get("computation")), _number(entry.get("communication"))
        if not 0 < compute * factor < math.inf:
            source.drop("devices whose computation is no number above 0")
        elif not 0 < bandwidth * BYTES_PER_SECOND < math.inf:
            source.drop("devices whose communication is no number above 0")
        else:
            rate = exact(bandwidth * BYTES_PER_SECOND)
            rows.append((str(key), exact(compute * factor / 1000), rate, rate))
    if not rows:
        raise InputError(f"{source.path}: no device has numbers above 0; expected some")
    header = ("device", "seconds_per_sample", "download_bandwidth", "upload_bandwidth")
    return Table("devices", header, rows)


def _stays(source: Source, entries: Mapping[Any, Mapping[str, Any]]) -> list[Stays]:
    found = []
    for entry in entries.values():
        begins, ends = _times(entry.get("active")), _times(entry.get("inactive"))
        repeat = _number(entry.get("finish_time"))
        if begins is None or ends is None or len(begins) != len(ends):
            source.drop("clients whose active and inactive are no lists of the same length")
        elif not 0 < repeat < 9e12:
            source.drop("clients whose finish_time is no number above 0")
        else:
            spans = zip(begins, ends, strict=True)
            intervals = [(begin, end) for begin, end in spans if min(end, repeat) - begin >= 1e-6]
            if len(intervals) < len(begins):
                source.dropped["intervals that do not last"] += len(begins) - len(intervals)
            if intervals:
                found.append(Stays(tuple((a, min(b, repeat)) for a, b in intervals), repeat))
            else:
                source.drop("clients that are never available")
    if not found:
        raise InputError(f"{source.path}: no client is ever available; expected some")
    return found


def _times(value: Any) -> list[float] | None:
    if not isinstance(value, list | tuple):
        return None
    times = [_number(each) for each in value]
    return times if all(0 <= time < 9e12 for time in times) else None
