"""Traces of devices: each row is a device, and each client is one of the devices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydantic import Field, model_validator

from afl_sim.scenario.traces.columns import By
from afl_sim.scenario.traces.tables import (
    CLIENT,
    ClientColumn,
    NumberClients,
    Numbers,
    Table,
    TableProblems,
    numbers_by_column,
    open_table,
    stamp,
)
from afl_sim.scenario.traces.trace_block import Factor, NumberedClients, TraceBlock
from afl_sim.scenario.units import DURATION, RATE
from afl_sim.scenario.wording import hint

SPEEDS: Final = ("seconds_per_sample", "seconds_per_step", "seconds_per_task")
LINKS: Final = ("download_latency", "download_bandwidth", "upload_latency", "upload_bandwidth")
WEIGHT: Final = "weight"
NOTES: Final = ("device", "model", "batch_size", "fastest", "slowest", "repeats")
"""Columns that say where a row comes from; they are not read."""
_POSITIVE: Final = ("download_bandwidth", "upload_bandwidth", WEIGHT)


@dataclass(frozen=True)
class Devices:
    """The devices of a trace.

    Attributes:
        columns: by name, a value for each device: seconds, or bytes per second.
        weights: how often each is met, summing to 1.
        sha256: of the file.
    """

    columns: Mapping[str, tuple[float, ...]]
    weights: tuple[float, ...]
    sha256: str

    def __len__(self) -> int:
        return len(self.weights)


@dataclass(frozen=True, slots=True)
class DeviceColumns:
    """How a trace of devices is read.

    Attributes:
        by: client: each row is a client, the one that a column ``client`` says, or the next one.
        factor: by column, what each number is multiplied by.
        number_clients: how the ids of the column ``client`` become the numbers of clients.
    """

    by: By = "sample"
    factor: tuple[tuple[str, float], ...] = ()
    number_clients: NumberClients = None


def read_devices(path: Path, reading: DeviceColumns = DeviceColumns()) -> Devices:
    """The devices of a CSV file with a header row, or of a Parquet file.

    Raises:
        TableProblems: it cannot be read so; with file and line for each mistake.
    """
    return _read(path, reading, stamp(path))


@lru_cache(maxsize=8)
def _read(path: Path, reading: DeviceColumns, unchanged: tuple[int, int]) -> Devices:
    table = open_table(path)
    _check_header(table, reading)
    factors = dict(reading.factor)
    meanings = {name: _meaning(name) for name in table.names if name not in (*NOTES, CLIENT)}
    kinds = [
        Numbers(name, above_zero=key in _POSITIVE, factor=factors.get(name, factor))
        for name, (key, factor) in meanings.items()
    ]
    clients = ClientColumn(table, reading.number_clients) if CLIENT in table.names else None
    found = numbers_by_column(table, kinds, clients)
    columns = {meanings[name][0]: values for name, values in found.items()}
    weights = columns.pop(WEIGHT, None) or [1.0] * len(next(iter(columns.values())))
    total = math.fsum(weights)
    return Devices(
        {name: tuple(values) for name, values in columns.items()},
        tuple(weight / total for weight in weights),
        table.sha256,
    )


def _check_header(table: Table, reading: DeviceColumns) -> None:
    header, place = table.names, table.header
    known = (*SPEEDS, *LINKS, WEIGHT, CLIENT, *NOTES)
    keys = {name: _meaning(name)[0] for name in header}
    problems = [
        f"{place}: unknown column {name!r}; expected some of {', '.join(known)}, or one of them "
        f"with another unit, as in ms_per_sample or upload_latency_ms{hint(name, known)}"
        for name in header
        if keys[name] not in known
    ]
    for alike in (SPEEDS, *((key,) for key in LINKS)):
        several = [name for name in header if keys[name] in alike]
        if len(several) > 1:
            problems.append(f"{place}: has {several[0]} and {several[1]}; expected one of them")
    if not problems and not any(key in SPEEDS or key in LINKS for key in keys.values()):
        problems.append(
            f"{place}: has no measurements of a device; expected one of "
            f"{', '.join((*SPEEDS, *LINKS))}"
        )
    if CLIENT in header and reading.by == "sample":
        problems.append(
            f"{place}: has a column 'client', which is read only with by: client; expected by: "
            "client, or the name 'device' for the column"
        )
    if problems:
        raise TableProblems(problems)
    if reading.number_clients is not None:
        table.need(CLIENT, ("number_clients",))
    for name, _ in reading.factor:
        if name not in header or keys[name] not in (*SPEEDS, *LINKS):
            measured = [each for each in header if keys[each] in SPEEDS or keys[each] in LINKS]
            raise TableProblems(
                [
                    f"{table.path} has no such column of measurements; expected some of "
                    f"{', '.join(measured)}{hint(name, measured)}"
                ],
                ("factor", name),
            )


def _meaning(name: str) -> tuple[str, float]:
    """The key that a column replaces, and the factor that the unit in its name says."""
    unit, per, what = name.rpartition("_per_")
    size = DURATION.in_name(unit) if f"seconds{per}{what}" in SPEEDS else None
    if size is not None:
        return f"seconds{per}{what}", size
    for key in LINKS:
        if name.startswith(f"{key}_"):
            quantity = DURATION if key.endswith("latency") else RATE
            size = quantity.in_name(name.removeprefix(f"{key}_"))
            if size is not None:
                return key, size
    return name, 1.0


class DeviceTrace(TraceBlock):
    """Measured devices: each column of the file replaces the key of the same name."""

    trace: str = Field(
        description="A CSV or Parquet file with one row for each device and any of the columns "
        "seconds_per_sample (or seconds_per_step, seconds_per_task), download_latency, "
        "download_bandwidth, upload_latency, upload_bandwidth, weight. A name may say another "
        "unit, as ms_per_sample and upload_bandwidth_kB_per_s do; see docs/traces.md."
    )
    by: By = Field(
        default="sample",
        description="sample: each client is one of the devices, drawn with the scenario's seed in "
        "proportion to weight; client: client i is the device in row i, or in the row with i "
        "in the column `client`.",
    )
    factor: dict[str, Factor] = Field(
        default={},
        description="For each column the factor that converts its values to the scenario's unit: "
        "{seconds_per_sample: 0.001} if the file has milliseconds (no unit).",
    )
    number_clients: NumberedClients = None
    sha256: str | None = Field(
        default=None,
        description="SHA-256 of the file; filled in when the file is read, and "
        "checked from then on.",
    )

    @model_validator(mode="before")
    @classmethod
    def _file_alone(cls, raw: Any) -> Any:
        return {"trace": raw} if isinstance(raw, str) else raw

    def _load(self, path: Path) -> tuple[Devices, str]:
        if self.number_clients is not None and self.by == "sample":
            why = "needs by: client; a sample belongs to no client"
            raise TableProblems([why], ("number_clients",))
        factor = tuple(sorted(self.factor.items()))
        devices = read_devices(path, DeviceColumns(self.by, factor, self.number_clients))
        return devices, devices.sha256

    @property
    def devices(self) -> Devices:
        """The content of the file."""
        devices: Devices = self._content
        return devices
