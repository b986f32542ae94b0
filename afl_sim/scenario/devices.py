"""Traces of devices: a row is one device, and a client is one of them in all that the row says."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from afl_sim.scenario.section import Section
from afl_sim.scenario.traces import TraceProblem, number, rows_of
from afl_sim.scenario.wording import hint

SPEEDS: Final = ("seconds_per_sample", "seconds_per_step", "seconds_per_task")
LINKS: Final = ("download_latency", "download_bandwidth", "upload_latency", "upload_bandwidth")
WEIGHT: Final = "weight"
NOTES: Final = ("device", "model", "batch_size", "fastest", "slowest", "repeats")
"""Columns that say where a row comes from; they are not read."""
_POSITIVE: Final = ("download_bandwidth", "upload_bandwidth", WEIGHT)
_MOST_PROBLEMS: Final = 20


@dataclass(frozen=True)
class Devices:
    """What a trace says of its devices.

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


class DeviceProblems(Exception):
    """A trace cannot be used; ``messages`` says why, one for each mistake."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


def read_devices(path: Path) -> Devices:
    """The devices of a CSV file with a header row, or of a Parquet file.

    Raises:
        DeviceProblems: it cannot be read so; with file and line for each mistake.
    """
    try:
        stat = path.stat()
        return _read(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise DeviceProblems([f"there is no file {path}"]) from None
    except IsADirectoryError:
        raise DeviceProblems([f"{path} is a folder; expected a CSV or Parquet file"]) from None
    except UnicodeDecodeError:
        raise DeviceProblems([f"{path} is not UTF-8 text"]) from None
    except TraceProblem as problem:
        raise DeviceProblems([problem.message]) from None
    except (OSError, csv.Error, ValueError) as error:
        raise DeviceProblems([f"cannot read {path}: {error}"]) from None


@lru_cache(maxsize=8)
def _read(path: Path, modified_ns: int, size: int) -> Devices:
    content = path.read_bytes()
    rows = rows_of(path, content)
    header, place = next(rows)
    _check_header(header, f"{path}:{place}")
    wanted = [(i, name) for i, name in enumerate(header) if name not in NOTES]
    values: dict[str, list[float]] = {name: [] for _, name in wanted}
    problems: list[str] = []
    for cells, line in rows:
        for index, name in wanted:
            cell = cells[index] if index < len(cells) else ""
            value = number(cell)
            if not (value > 0 if name in _POSITIVE else value >= 0) or value == math.inf:
                expected = "above 0" if name in _POSITIVE else "0 or more"
                problems.append(
                    f"{path}:{line}: {name} is {cell!r}; expected a finite number {expected}"
                )
            values[name].append(value)
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        problems[_MOST_PROBLEMS:] = [f"{path}: and {more} more mistakes"] if more > 0 else []
        raise DeviceProblems(problems)
    count = len(values[wanted[0][1]])
    if not count:
        raise DeviceProblems([f"{path} has no rows"])
    weights = values.pop(WEIGHT, [1.0] * count)
    total = math.fsum(weights)
    return Devices(
        {name: tuple(column) for name, column in values.items()},
        tuple(weight / total for weight in weights),
        hashlib.sha256(content).hexdigest(),
    )


def _check_header(header: list[str], place: str) -> None:
    known = (*SPEEDS, *LINKS, WEIGHT, *NOTES)
    problems = [
        f"{place}: unknown column {name!r}; expected some of {', '.join(known)}{hint(name, known)}"
        for name in header
        if name not in known
    ]
    problems += [
        f"{place}: column {name!r} twice"
        for name in dict.fromkeys(header)
        if header.count(name) > 1
    ]
    speeds = [name for name in header if name in SPEEDS]
    if len(speeds) > 1:
        problems.append(f"{place}: has {speeds[0]} and {speeds[1]}; expected one of them")
    if not problems and not any(name in SPEEDS or name in LINKS for name in header):
        problems.append(
            f"{place}: says nothing of a device; expected one of {', '.join((*SPEEDS, *LINKS))}"
        )
    if problems:
        raise DeviceProblems(problems)


class DeviceTrace(Section):
    """Measured devices: what the file has columns for takes the place of the keys of that name."""

    trace: str = Field(
        description="A CSV or Parquet file, a row for each device, with any of the columns "
        "seconds_per_sample (or seconds_per_step, seconds_per_task), download_latency, "
        "download_bandwidth, upload_latency, upload_bandwidth, weight; see docs/traces.md."
    )
    by: Literal["sample", "client"] = Field(
        default="sample",
        description="sample: each client is one of the devices, drawn by the scenario's seed in "
        "proportion to weight; client: client i is the device in row i.",
    )
    sha256: str | None = Field(
        default=None, description="Of the file; filled in when it is read, and then checked."
    )
    _devices: Devices | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, raw: Any, handler: Any, info: ValidationInfo) -> Self:
        made: Self = handler({"trace": raw} if isinstance(raw, str) else raw)
        path = ((getattr(info.context, "base", None) or Path()) / made.trace).absolute()
        key = "trace"
        try:
            devices = read_devices(path)
            if made.sha256 not in (None, devices.sha256):
                key = "sha256"
                raise DeviceProblems([f"{path} has changed: its sha256 is now {devices.sha256}"])
        except DeviceProblems as problems:
            details = [
                InitErrorDetails(type=PydanticCustomError("scenario", why), loc=(key,), input=raw)
                for why in problems.messages
            ]
            raise ValidationError.from_exception_data(cls.__name__, details) from None
        read = made.model_copy(update={"trace": str(path), "sha256": devices.sha256})
        read._devices = devices
        return read

    @property
    def devices(self) -> Devices:
        """What the file says."""
        assert self._devices is not None
        return self._devices
