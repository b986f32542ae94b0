"""Powers and energies that are allowed, but more likely in another unit than meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from afl_sim.scenario.checks.parts import Doubt, measured, parts_of, usual
from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.mistakes.explain import KeyPath
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.wording import exact


class _Limit(NamedTuple):
    """From what on a number is much, or below what it is little.

    Attributes:
        least, most: in the base unit.
        unit: the base unit as it is written.
        whose: of what it is much or little.
        example: of text with a unit.
    """

    least: float
    most: float
    unit: str
    whose: str
    example: str


HIGHEST_WATTS: Final = 1000.0
"""A client's power above is more likely in milliwatts than meant."""
_SERVER: Final = _Limit(0, 1e8, "W", "a server", "200 kW")
_SAMPLE: Final = _Limit(0, 1e3, "J", "training on a sample", "20 mJ")
_BYTE: Final = _Limit(0, 1e-2, "J", "a byte", "3 uJ")
_BATTERY: Final = _Limit(100, 1e9, "J", "a battery", "15 Wh")
"""From a button cell to the battery of a lorry. A phone's 15 is in watt-hours."""


def energy_doubts(scenario: Scenario) -> Iterator[Doubt]:
    """What looks wrong, as (key path, message)."""
    for path, fleet in parts_of(scenario.clients):
        yield from _powers(path, measured(fleet))
        yield from _beyond((*path, "energy_per_sample"), fleet.energy_per_sample, _SAMPLE)
        both = fleet.energy_per_byte
        if both is not None and both.download == both.upload:
            yield from _beyond((*path, "energy_per_byte"), both.download, _BYTE)
        elif both is not None:
            yield from _beyond((*path, "energy_per_byte", "download"), both.download, _BYTE)
            yield from _beyond((*path, "energy_per_byte", "upload"), both.upload, _BYTE)
        if fleet.battery is not None:
            yield from _beyond((*path, "battery", "capacity"), fleet.battery.capacity, _BATTERY)
    yield from _beyond(("server", "power"), scenario.server.power, _SERVER)


def _powers(path: KeyPath, fleet: Clients) -> Iterator[Doubt]:
    laws = {} if fleet.power is None else dict(fleet.power)
    found = {name: usual(law) for name, law in laws.items() if law is not None}
    columns = () if fleet.devices is None else fleet.devices.devices.columns
    place = {
        name: ("devices", column) if (column := f"power_{name}") in columns else ("power", name)
        for name in found
    }
    for name, watts in found.items():
        if watts > HIGHEST_WATTS:
            yield (
                (*path, *place[name]),
                f"{watts:.4g} W is much for a client; a number is in watts, and text has a "
                f"unit, such as {exact(watts / 1000)} W or {exact(watts)} mW",
            )
    if found.get("idle", 0) > found.get("compute", float("inf")):
        yield (
            (*path, *place["idle"]),
            f"{found['idle']:.4g} W are more than the {found['compute']:.4g} W of computing",
        )


def _beyond(path: KeyPath, law: Distribution | None, limit: _Limit) -> Iterator[Doubt]:
    if law is None:
        return
    value = usual(law)
    if not limit.least <= value <= limit.most:
        size = "little" if value < limit.least else "much"
        yield (
            path,
            f"{value:.4g} {limit.unit} is {size} for {limit.whose}; a number is in "
            f"{'watts' if limit.unit == 'W' else 'joules'}, and text has a unit, such as "
            f"{limit.example}",
        )
