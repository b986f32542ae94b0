"""What the devices of clients use, in whole units: microwatts, and picojoules for a lump.

Power in microwatts times time in microseconds is energy in picojoules. All sums are of integers, so
they are exact, and the order in which they are made does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.section import HIGHEST_JOULES, HIGHEST_WATTS
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.energy import PHASES
from afl_sim.streams import Streams

PICO = 10**12
_KEPT = 1 << 17  # bounded: memory must not grow with the population
_NOTHING = Distribution(0.0)


class Use(NamedTuple):
    """What one client's device uses.

    Attributes:
        watts: in microwatts, by phase: download, compute, upload, idle.
        per_sample: joules for each sample trained.
        per_byte: joules for each byte, of downloads and of uploads.
    """

    watts: tuple[int, int, int, int]
    per_sample: float
    per_byte: tuple[float, float]


@dataclass(frozen=True)
class Devices:
    """The devices of a part of the fleet.

    Attributes:
        of: gives what a client's device uses.
        idle: gives the idle power of these clients (microwatts).
    """

    of: Callable[[int], Use]
    idle: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]


def microwatts(watts: float, phase: str) -> int:
    """A power that was drawn, in whole microwatts.

    Raises:
        ScenarioError: it is too large to be counted.
    """
    return round(_counted(watts, f"power.{phase}", HIGHEST_WATTS, "W") * 1e6)


def joules(energy: float, key: str) -> float:
    """An energy that was drawn.

    Raises:
        ScenarioError: it is too large to be counted.
    """
    return _counted(energy, key, HIGHEST_JOULES, "J")


def _counted(drawn: float, key: str, most: float, unit: str) -> float:
    if not drawn <= most:
        raise ScenarioError(
            f"clients.{key}: drew {drawn:.4g} {unit}; expected at most {most:g}, the most that is "
            "counted"
        )
    return drawn


def devices_of(clients: Clients, streams: Streams) -> Devices:
    """What a scenario says of the devices of a part of the fleet.

    Args:
        clients: the section as it holds for them.
        streams: the run's random streams; the draws are of ``"power.<phase>"`` and of
            ``"energy.sample"``, ``"energy.download"``, ``"energy.upload"``.
    """
    laws = {phase: getattr(clients.power, phase, None) or _NOTHING for phase in (*PHASES, "idle")}
    per_sample = clients.energy_per_sample or _NOTHING
    per_byte = {
        way: getattr(clients.energy_per_byte, way, None) or _NOTHING
        for way in ("download", "upload")
    }

    def use(client: int) -> Use:
        down, compute, up, idle = (
            microwatts(draw(law, streams, f"power.{phase}", client), phase)
            for phase, law in laws.items()
        )
        return Use(
            (down, compute, up, idle),
            joules(draw(per_sample, streams, "energy.sample", client), "energy_per_sample"),
            (
                joules(
                    draw(per_byte["download"], streams, "energy.download", client),
                    "energy_per_byte",
                ),
                joules(
                    draw(per_byte["upload"], streams, "energy.upload", client), "energy_per_byte"
                ),
            ),
        )

    def idle(who: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        law = laws["idle"]
        if law.constant is not None:
            return np.full(len(who), round(law.constant * 1e6), dtype=np.int64)
        watts = law.quantiles(streams.uniforms("power.idle", who), who)
        microwatts(float(watts.max(initial=0.0)), "idle")  # none is beyond what is counted
        return np.rint(watts * 1e6).astype(np.int64)

    every = [*laws.values(), per_sample, *per_byte.values()]
    if all(law.constant is not None for law in every):
        same = use(0)
        return Devices(lambda client: same, idle)
    return Devices(lru_cache(_KEPT)(use), idle)
