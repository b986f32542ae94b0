"""Traces of devices: each row is a device, and each client is one of the devices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from afl_sim.scenario.section import Flag
from afl_sim.scenario.traces.columns import By
from afl_sim.scenario.traces.device_columns import (
    FLOPS,
    IDS,
    KNOWN,
    LINK,
    MEASUREMENTS,
    NOTES,
    PRESENCE,
    ROOFLINE,
    SAMPLES,
    SPEEDS,
    USED,
    WEIGHT,
    meaning,
    reading,
)
from afl_sim.scenario.traces.tables import (
    CLIENT,
    Cells,
    ClientColumn,
    Id,
    Ids,
    NumberClients,
    Table,
    TableProblems,
    cells_by_column,
    open_table,
    stamp,
)
from afl_sim.scenario.traces.trace_block import Factor, FileAlone, NumberedClients, Sha256
from afl_sim.scenario.wording import hint


@dataclass(frozen=True)
class Devices:
    """The devices of a trace.

    Attributes:
        columns: by name, a number for each device, in the unit of the scenario.
        weights: how often each is met, summing to 1.
        sha256: of the file.
        presences: for each device the id of a client in a trace of availability; empty if the file
            has none.
        links: for each device the name of a link in the traces of bandwidth; empty if the file has
            none.
    """

    columns: Mapping[str, tuple[float, ...]]
    weights: tuple[float, ...]
    sha256: str
    presences: tuple[Id, ...] = ()
    links: tuple[Id, ...] = ()

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def names(self) -> tuple[str, ...]:
        """The keys whose place the file takes."""
        named = ((PRESENCE, self.presences), (LINK, self.links))
        return (*self.columns, *(name for name, ids in named if ids))


@dataclass(frozen=True, slots=True)
class DeviceColumns:
    """How a trace of devices is read.

    Attributes:
        by: client: each row is a client, the one that a column ``client`` says, or the next one.
        factor: by column, what each number is multiplied by.
        number_clients: how the ids of the column ``client`` become the numbers of clients.
        only: the columns that take the place of keys; all others are not read. None: all do.
    """

    by: By = "sample"
    factor: tuple[tuple[str, float], ...] = ()
    number_clients: NumberClients = None
    only: tuple[str, ...] | None = None


def read_devices(path: Path, columns: DeviceColumns = DeviceColumns()) -> Devices:
    """The devices of a CSV file with a header row, or of a Parquet file.

    Raises:
        TableProblems: it cannot be read so; with file and line for each mistake.
    """
    return _read(path, columns, stamp(path))


@lru_cache(maxsize=8)
def _read(path: Path, wanted: DeviceColumns, unchanged: tuple[int, ...]) -> Devices:
    table = open_table(path)
    meanings = _meanings(table, wanted)
    _check_header(table, wanted, meanings)
    factors = dict(wanted.factor)
    kinds: list[Cells] = [
        Ids(name) if key in IDS else reading(name, key, factors.get(name, factor))
        for name, (key, factor) in meanings.items()
    ]
    clients = ClientColumn(table, wanted.number_clients) if CLIENT in table.names else None
    if wanted.by == "sample":
        clients = None
    found = cells_by_column(table, kinds, clients)
    columns = {meanings[name][0]: values for name, values in found.items()}
    presences, links = columns.pop(PRESENCE, []), columns.pop(LINK, [])
    weights = columns.pop(WEIGHT, None) or [1.0] * len(next(iter(found.values())))
    if SAMPLES in columns:
        columns[SAMPLES] = [float(max(1, round(value))) for value in columns[SAMPLES]]
    total = math.fsum(weights)
    return Devices(
        {name: tuple(values) for name, values in columns.items()},
        tuple(weight / total for weight in weights),
        table.sha256,
        tuple(presences),
        tuple(links),
    )


def _meanings(table: Table, wanted: DeviceColumns) -> dict[str, tuple[str, float]]:
    """What each column that is read stands for, and the factor that its name says."""
    only = wanted.only
    if only is None:
        return {name: meaning(name) for name in table.names if name not in (*NOTES, CLIENT)}
    for name in only:
        table.need(name, ("columns",))
        if meaning(name)[0] not in USED:
            raise TableProblems(
                [
                    f"{name!r} takes the place of no key; expected some of "
                    f"{', '.join(each for each in table.names if meaning(each)[0] in USED)}"
                ],
                ("columns",),
            )
    return {name: meaning(name) for name in table.names if name in (*only, WEIGHT)}


def _check_header(
    table: Table, wanted: DeviceColumns, meanings: Mapping[str, tuple[str, float]]
) -> None:
    place = table.header
    keys = {name: key for name, (key, _) in meanings.items()}
    problems = [
        f"{place}: unknown column {name!r}; expected some of {', '.join(KNOWN)}, or one of them "
        f"with another unit, as in ms_per_sample or upload_latency_ms{hint(name, KNOWN)}"
        for name, key in keys.items()
        if key not in KNOWN
    ]
    for alike in ((*SPEEDS, FLOPS), *((key,) for key in USED if key not in (*SPEEDS, FLOPS))):
        several = [name for name in keys if keys[name] in alike]
        if len(several) > 1:
            problems.append(f"{place}: has {several[0]} and {several[1]}; expected one of them")
    alone = [name for name in keys if keys[name] in ROOFLINE]
    if alone and FLOPS not in keys.values():
        problems.append(
            f"{place}: has {alone[0]}, which describes a processor further; expected {FLOPS}, too"
        )
    if not problems and not any(key in USED for key in keys.values()):
        problems.append(
            f"{place}: has no measurements of a device; expected one of {', '.join(USED)}"
        )
    if CLIENT in table.names and wanted.by == "sample" and wanted.only is None:
        problems.append(
            f"{place}: has a column 'client', which is read only with by: client; expected by: "
            "client, or the name 'device' for the column"
        )
    if problems:
        raise TableProblems(problems)
    if wanted.number_clients is not None:
        table.need(CLIENT, ("number_clients",))
    for name, _ in wanted.factor:
        if keys.get(name) not in MEASUREMENTS:
            measured = [each for each in keys if keys[each] in MEASUREMENTS]
            raise TableProblems(
                [
                    f"{table.path} has no such column of measurements; expected some of "
                    f"{', '.join(measured)}{hint(name, measured)}"
                ],
                ("factor", name),
            )


class DeviceTrace(FileAlone):
    """Measured devices: each column of the file replaces the key of the same name."""

    _later: ClassVar[tuple[str, ...]] = ("factor", "number_clients", "columns", "replacement")

    trace: str = Field(
        description="A CSV or Parquet file with one row for each device and any of the columns "
        "seconds_per_sample (or seconds_per_step, seconds_per_task, flops_per_second), "
        "bytes_per_second, efficiency, memory, download_latency, download_bandwidth, "
        "upload_latency, upload_bandwidth, power_download, power_compute, power_upload, "
        "power_idle, samples, on, off, probability, phase, availability, link, "
        "weight. A name may say another unit, as ms_per_sample and upload_bandwidth_kB_per_s do; "
        "see docs/traces.md."
    )
    by: By = Field(
        default="sample",
        description="sample: each client is one of the devices, drawn with the scenario's seed in "
        "proportion to weight; client: client i is the device in row i, or in the row with i "
        "in the column `client`.",
    )
    columns: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="The columns of the file that take the place of keys; all others but weight "
        "are then not read, whatever their names. null: all columns.",
    )
    replacement: Flag = Field(
        default=True,
        description="Whether several clients can be the same device. false: each device is at "
        "most one client; devices of a larger weight are taken more often. Only with by: sample.",
    )
    factor: dict[str, Factor] = Field(
        default={},
        description="For each column the factor that converts its values to the scenario's unit: "
        "{seconds_per_sample: 0.001} if the file has milliseconds (no unit).",
    )
    number_clients: NumberedClients = None
    sha256: Sha256 = None

    def _load(self, path: Path) -> tuple[Devices, str]:
        if self.number_clients is not None and self.by == "sample":
            why = "needs by: client; a sample belongs to no client"
            raise TableProblems([why], ("number_clients",))
        if not self.replacement and self.by == "client":
            why = "needs by: sample; with by: client each device is one client anyway"
            raise TableProblems([why], ("replacement",))
        factor = tuple(sorted(self.factor.items()))
        wanted = DeviceColumns(self.by, factor, self.number_clients, self.columns)
        devices = read_devices(path, wanted)
        return devices, devices.sha256

    @property
    def devices(self) -> Devices:
        """The content of the file."""
        devices: Devices = self._content
        return devices
