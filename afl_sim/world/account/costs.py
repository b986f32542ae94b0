"""What has been used and paid until an instant, in the units of the summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import fsum
from typing import Final

GIGA: Final = 10**9
_NONE: Final[dict[str, float]] = {}


@dataclass(frozen=True)
class Costs:
    """What a run has used and cost until an instant.

    Attributes:
        energy_joules: ``download``, ``compute``, ``upload``, ``idle`` and ``wasted`` if the energy
            of clients is counted, ``server`` if the server's is, and their ``total``. What was
            wasted is a part of the total. Empty if no energy is counted.
        price: ``clients``, ``server`` and ``total``, in the scenario's money; empty without prices.
        carbon_grams: ``clients``, ``server`` and ``total``; empty without an intensity.
    """

    energy_joules: Mapping[str, float]
    price: Mapping[str, float]
    carbon_grams: Mapping[str, float]

    @property
    def blocks(self) -> dict[str, Mapping[str, float]]:
        """What is counted, by the key of the summary."""
        found = {
            "energy_joules": self.energy_joules,
            "price": self.price,
            "carbon_grams": self.carbon_grams,
        }
        return {name: block for name, block in found.items() if block}

    @property
    def totals(self) -> dict[str, float]:
        """The total of each block that is counted."""
        return {name: block["total"] for name, block in self.blocks.items()}


class Totals(Mapping[tuple[int, int], Mapping[str, float]]):
    """The totals of what a run had used and cost until each of its evaluations.

    Args:
        marks: by (time_us, version) of an evaluation, all that it had; it may grow.
    """

    def __init__(self, marks: Mapping[tuple[int, int], Costs]) -> None:
        self._marks = marks

    def __getitem__(self, key: tuple[int, int]) -> Mapping[str, float]:
        return self._marks[key].totals

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._marks)

    def __len__(self) -> int:
        return len(self._marks)


@dataclass(frozen=True)
class Tariff:
    """The prices of a part of the fleet: for each task, and for each gigabyte."""

    per_task: float = 0.0
    per_gb: float = 0.0

    def price(self, tasks: int, moved: int) -> float:
        """Of so many tasks and bytes."""
        return fsum((self.per_task * tasks, self.per_gb * moved / GIGA))


@dataclass(frozen=True)
class ServerTariff:
    """The prices of the server: for each hour, and for each gigabyte in and out."""

    per_hour: float = 0.0
    per_gb_in: float = 0.0
    per_gb_out: float = 0.0

    def price(self, time_us: int, received: int, sent: int) -> float:
        """Of so many microseconds and bytes."""
        return fsum(
            (
                self.per_hour * time_us / 3_600_000_000,
                self.per_gb_in * received / GIGA,
                self.per_gb_out * sent / GIGA,
            )
        )
