"""Tables of devices: speeds as of AI-Benchmark, networks as of MobiPerf, joined by device."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from afl_sim.errors import InputError
from afl_sim.importers.columns import factor_of, one_table
from afl_sim.importers.imported import File, Imported, Table, counted, left_out
from afl_sim.importers.kinds import sources_of
from afl_sim.importers.links import Direction
from afl_sim.importers.reading import Source
from afl_sim.scenario.traces.device_columns import LINKS, SPEEDS, WEIGHT
from afl_sim.scenario.traces.tables.cells import number
from afl_sim.scenario.units import DURATION, RATE, Quantity, Unreadable
from afl_sim.scenario.wording import exact, hint, show

DEVICE: Final = "device"
_KEYS: Final = (DEVICE, *SPEEDS, *LINKS, WEIGHT)
_KBIT: Final = 125.0  # bytes per second


@dataclass(frozen=True)
class Meaning:
    """What a column of a table means.

    Attributes:
        key: a column of a device trace.
        name: of the column in the table.
        unit: of its numbers; None: as its name says, or the scenario's own.
    """

    key: str
    name: str
    unit: str | None = None


def meaning(text: str) -> Meaning:
    """What ``KEY=NAME`` or ``KEY=NAME:UNIT`` says.

    Raises:
        InputError: it says nothing.
    """
    key, equals, rest = text.partition("=")
    name, colon, unit = rest.rpartition(":")
    if not colon:
        name, unit = rest, ""
    if not equals or not name:
        raise InputError(f"--column: got {show(text)}; expected KEY=NAME or KEY=NAME:UNIT")
    return Meaning(key.strip(), name.strip(), unit.strip() or None)


@dataclass(frozen=True)
class _Column:
    """A column that is read.

    Attributes:
        key: what it means.
        place: of the cell in a row.
        name: in the file.
        factor: what makes the scenario's unit of its numbers.
    """

    key: str
    place: int
    name: str
    factor: float


def import_devices(
    paths: Sequence[Path], meanings: Sequence[Meaning], factor: float = 1.0
) -> Imported:
    """Tables with a header row; several are joined by the name of the device.

    A device with several rows has the median of each column.

    Args:
        paths: the tables.
        meanings: what their columns mean, beside those with the names of a device trace.
        factor: what speeds are multiplied by, such as 3 for times of an inference.

    Raises:
        InputError: a column is missing or has no such number.
    """
    sources = sources_of("devices", paths)
    _check(meanings)
    tables = [_read(source, meanings, factor, join=len(sources) > 1) for source in sources]
    devices = list(tables[0])
    for source, table in zip(sources, tables, strict=True):
        absent = [name for name in devices if name not in table]
        devices = [name for name in devices if name in table]
        if absent:
            source.dropped["devices that are in no row of it"] += len(absent)
    for source, table in zip(sources[1:], tables[1:], strict=True):
        only = sum(name not in tables[0] for name in table)
        if only:
            source.dropped[f"devices that are not in {sources[0].path.name}"] += only
    if not devices:
        raise InputError(
            f"{sources[0].path}: no device is in all files; expected the same names of devices"
        )
    keys = [key for key in _KEYS[1:] if any(key in next(iter(t.values())) for t in tables)]
    rows = []
    for name in devices:
        values = {key: value for table in tables for key, value in table[name].items()}
        rows.append((name, *(exact(values[key]) for key in keys)))
    report = [f"{counted(len(devices), 'device')}: {', '.join(keys)}"]
    for source in sources:
        report += (f"{source.path.name}: {line}" for line in left_out(source.dropped))
    made = Table("devices", (DEVICE, *keys), rows)
    return Imported((made,), {"devices": {"trace": File("devices")}}, len(devices), report=report)


def _check(meanings: Sequence[Meaning]) -> None:
    for each in meanings:
        if each.key not in _KEYS:
            raise InputError(
                f"--column: unknown meaning {each.key!r}; expected some of {', '.join(_KEYS)}"
                f"{hint(each.key, _KEYS)}"
            )


def _read(
    source: Source, meanings: Sequence[Meaning], factor: float, join: bool
) -> dict[str, dict[str, float]]:
    """For each device the value of each of its columns."""
    header, rows = one_table(source)
    columns = _columns(source, header, meanings, factor)
    names = [each.name for each in meanings if each.key == DEVICE and each.name in header]
    names += [name for name in header if name.strip().lower() in (DEVICE, "model", "phone")]
    if join and not names:
        raise InputError(
            f"{source.path}:1: no column of devices, by which the files are joined; the file has "
            f"{', '.join(header)}; expected --column device=NAME"
        )
    place = header.index(names[0]) if names else None
    found: dict[str, dict[str, list[float]]] = {}
    for line, cells in rows:
        device = cells[place] if place is not None else f"device-{line - 1}"
        if not device:
            source.drop("rows without a device")
            continue
        if not all(cells[column.place] for column in columns):
            source.drop("rows with an empty cell")
            continue
        values = [_value(source, line, column, cells[column.place]) for column in columns]
        entry = found.setdefault(device, {column.key: [] for column in columns})
        for column, value in zip(columns, values, strict=True):
            if value is not None:
                entry[column.key].append(value)
    source.refuse_mistakes()
    if not found:
        raise InputError(f"{source.path}: no row has a number in each column; expected some")
    return {
        device: {key: median(values) for key, values in entry.items()}
        for device, entry in found.items()
    }


def _columns(
    source: Source, header: Sequence[str], meanings: Sequence[Meaning], factor: float
) -> list[_Column]:
    columns = []
    for key in _KEYS[1:]:
        own = [each for each in meanings if each.key == key and each.name in header]
        if own:
            name, unit = own[0].name, own[0].unit
        elif key in header:
            name, unit = key, None
        else:
            continue
        size = size_of(key, name, unit) if unit is not None else _said(source, key, name)
        size *= factor if key in SPEEDS else 1.0
        columns.append(_Column(key, header.index(name), name, size))
    missing = [
        each.name
        for each in meanings
        if each.name not in header and not any(column.key == each.key for column in columns)
    ]
    if not columns:
        if missing:
            raise InputError(
                f"{source.path}:1: no column {missing[0]!r}, as --column says; the file has "
                f"{', '.join(header)}{hint(missing[0], header)}"
            )
        raise InputError(
            f"{source.path}:1: no column is known: the file has {', '.join(header)}; expected "
            "--column, such as --column 'seconds_per_sample=NAME:ms'"
        )
    return columns


def _quantity(key: str) -> Quantity | None:
    if key == WEIGHT:
        return None
    return RATE if key.endswith("bandwidth") else DURATION


def size_of(key: str, name: str, unit: str) -> float:
    """The factor that makes the scenario's unit of a column's numbers.

    Args:
        key: what the column means.
        name: of the column.
        unit: of its numbers.

    Raises:
        InputError: there is no such unit, or the key has none.
    """
    quantity = _quantity(key)
    if quantity is None:
        raise InputError(f"--column: {key}={name}: got the unit {unit!r}; expected none")
    try:
        return quantity.read(f"1 {unit}")
    except Unreadable as error:
        raise InputError(f"--column: {key}={name}: {error}") from None


def _said(source: Source, key: str, name: str) -> float:
    """The same factor, as the name says."""
    quantity = _quantity(key)
    how = f"--column {key}={name}:UNIT"
    factor = None if quantity is None else factor_of(source, name, quantity, how)
    return factor or 1.0


def _value(source: Source, line: int, column: _Column, cell: str) -> float | None:
    value = number(cell)
    positive = column.key not in ("download_latency", "upload_latency")
    if (value > 0 if positive else value >= 0) and math.isfinite(value * column.factor):
        return value * column.factor
    quantity = _quantity(column.key)
    why = ""
    if quantity is not None and cell[-1:].isalpha():
        why = " without a unit; the unit is the same in all rows, as --column KEY=NAME:UNIT says"
    least = "above 0" if positive else "of 0 or more"
    source.wrong(line, f"{column.name} is {show(cell)}; expected a number {least}{why}")
    return None


def import_mobiperf(paths: Sequence[Path], direction: Direction = "auto") -> Imported:
    """MobiPerf's TCP measurements as JSON: a list of records with ``tcp_speed_results`` in kbit/s.

    Each record is a device, whose bandwidth is the median of its results.

    Args:
        paths: the files.
        direction: which of a client's links they are; auto is both.

    Raises:
        InputError: a file is no such list.
    """
    sources = sources_of("mobiperf", paths)
    ways = ("download", "upload") if direction in ("auto", "both") else (direction,)
    rows = []
    for source in sources:
        for place, record in enumerate(_records(source), start=1):
            speeds = _speeds(record)
            if not speeds:
                source.drop("records without a speed above 0")
                continue
            rate = exact(median(speeds) * _KBIT)
            rows.append((f"{source.name}-{place}", *[rate] * len(ways)))
    if not rows:
        raise InputError(f"{sources[0].path}: no record has a speed above 0; expected some")
    header = (DEVICE, *(f"{way}_bandwidth" for way in ways))
    report = [f"{counted(len(rows), 'device')}: {', '.join(header[1:])}"]
    for source in sources:
        report += left_out(source.dropped)
    table = Table("devices", header, rows)
    return Imported((table,), {"devices": {"trace": File("devices")}}, len(rows), report=report)


def _records(source: Source) -> list[Any]:
    try:
        found = json.loads(source.text())
    except (ValueError, RecursionError) as error:
        line, why = getattr(error, "lineno", 1), getattr(error, "msg", "too deep")
        raise InputError(f"{source.path}:{line}: not readable as JSON: {why}") from None
    if not isinstance(found, list) or not found:
        raise InputError(f"{source.path}: expected a JSON list of records")
    return found


def _speeds(record: Any) -> list[float]:
    """The speeds of a record that are above 0 (kbit/s)."""
    told: Mapping[str, Any] = record if isinstance(record, dict) else {}
    results = told.get("tcp_speed_results")
    if isinstance(results, str):
        try:
            results = json.loads(results)
        except ValueError:
            return []
    found = results if isinstance(results, list) else []
    return [value for value in map(number, found) if 0 < value * _KBIT < math.inf]
