"""The columns of a table of devices: their names, what they measure and what they may hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from afl_sim.scenario.section import HIGHEST_WATTS
from afl_sim.scenario.traces.tables import CLIENT, Numbers
from afl_sim.scenario.units import DURATION, OPERATIONS, POWER, RATE, SIZE, Quantity

SPEEDS: Final = ("seconds_per_sample", "seconds_per_step", "seconds_per_task")
FLOPS: Final = "flops_per_second"
LINKS: Final = ("download_latency", "download_bandwidth", "upload_latency", "upload_bandwidth")
ROOFLINE: Final = ("bytes_per_second", "efficiency")
"""Columns that describe a processor further, beside `FLOPS`."""
POWERS: Final = ("power_download", "power_compute", "power_upload", "power_idle")
SAMPLES: Final = "samples"
PRESENCE: Final = "availability"
"""The column with the ids that clients have in a trace of availability."""
LINK: Final = "link"
"""The column with the names that links have in the traces of bandwidth."""
IDS: Final = (PRESENCE, LINK)
"""Columns of names, which tell what each device has in another file."""
WEIGHT: Final = "weight"
NOTES: Final = ("device", "model", "batch_size", "fastest", "slowest", "repeats")
"""Columns that say where a row comes from; they are not read."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a column of numbers holds.

    Attributes:
        quantity: what it measures; None: something without a unit.
        above_zero: whether its numbers are above 0, or may be 0.
        most: the largest number.
        kind: the kind of availability that it is for; None: any.
    """

    quantity: Quantity | None = None
    above_zero: bool = False
    most: float = math.inf
    kind: str | None = None


_LATENCY: Final = Measurement(DURATION)
_BANDWIDTH: Final = Measurement(RATE, above_zero=True)
MEASUREMENTS: Final[dict[str, Measurement]] = {
    **dict.fromkeys(SPEEDS, _LATENCY),
    FLOPS: Measurement(OPERATIONS, above_zero=True),
    "bytes_per_second": _BANDWIDTH,
    "efficiency": Measurement(above_zero=True, most=1.0),
    "memory": Measurement(SIZE, above_zero=True),
    **dict.fromkeys(("download_latency", "upload_latency"), _LATENCY),
    **dict.fromkeys(("download_bandwidth", "upload_bandwidth"), _BANDWIDTH),
    **dict.fromkeys(POWERS, Measurement(POWER, most=HIGHEST_WATTS)),
    SAMPLES: Measurement(above_zero=True),
    "on": Measurement(DURATION, above_zero=True, kind="on_off"),
    "off": Measurement(DURATION, above_zero=True, kind="on_off"),
    "probability": Measurement(most=1.0, kind="bernoulli"),
    "phase": Measurement(most=1.0, kind="diurnal"),
}
"""The columns of numbers that take the place of a key, in the order in which they are listed."""
USED: Final = (*MEASUREMENTS, *IDS)
"""All columns that take the place of a key."""
KNOWN: Final = (*USED, WEIGHT, CLIENT, *NOTES)


def meaning(name: str) -> tuple[str, float]:
    """The column that a name stands for, and the factor that the unit in the name says.

    >>> meaning("upload_latency_ms")
    ('upload_latency', 0.001)
    """
    if name in KNOWN:
        return name, 1.0
    unit, per, what = name.rpartition("_per_")
    if f"seconds{per}{what}" in SPEEDS:
        size = DURATION.in_name(unit)
        if size is not None:
            return f"seconds{per}{what}", size
    for key, quantity in ((FLOPS, OPERATIONS), ("bytes_per_second", RATE)):
        size = quantity.in_name(name)
        if size is not None:
            return key, size
    for key, measured in MEASUREMENTS.items():
        if measured.quantity is not None and name.startswith(f"{key}_"):
            size = measured.quantity.in_name(name.removeprefix(f"{key}_"))
            if size is not None:
                return key, size
    return name, 1.0


def reading(name: str, key: str, factor: float) -> Numbers:
    """How the numbers of a column are read.

    Args:
        name: of the column in the file.
        key: what it stands for.
        factor: what its numbers are multiplied by.
    """
    if key == WEIGHT:
        return Numbers(name, above_zero=True, factor=factor)
    measured = MEASUREMENTS[key]
    return Numbers(name, above_zero=measured.above_zero, most=measured.most, factor=factor)
