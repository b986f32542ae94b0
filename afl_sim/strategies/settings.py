"""Settings that several strategies share: their types, what they mean, and their checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt, StrictInt

from afl_sim.scenario.units import DURATION

Problem = tuple[tuple[str, ...], str]
"""A setting that cannot work: the path of its key, and the message."""

Problems = Iterable[Problem]

Concurrency = PositiveInt | Literal["all"]
"""The number of clients that train at the same time; ``all`` keeps every client busy."""

ClientsPerRound = Annotated[StrictInt, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)]
"""A whole number of clients, or a fraction of the population with a decimal point (1.0 is all)."""

VirtualSeconds = Annotated[float, Field(ge=1e-6, le=9e12), DURATION]
"""Seconds of virtual time, at least one microsecond, or text with a unit of time."""

VirtualWait = Annotated[float, Field(ge=0, le=9e12), DURATION]
"""Seconds of virtual time, which may be 0, or text with a unit of time."""

LocalSteps = Annotated[int, Field(ge=1, le=10**8)]
"""The number of local steps in a task."""


LEAST_RATE: Final = 1e-30
"""A learning rate below this makes steps from which the gradient cannot be computed back."""


def in_parallel(concurrency: Concurrency, clients: int) -> int:
    """The number of clients that ``concurrency`` means in a population of ``clients``.

    Example:
        >>> in_parallel("all", 50), in_parallel(20, 50)
        (50, 20)
    """
    return clients if concurrency == "all" else int(concurrency)


def per_round(clients_per_round: float, clients: int) -> int:
    """The number of clients that a count or a fraction of the population means, at least 1.

    A fraction is rounded once for the whole run, as FedAvg's paper does.

    Example:
        >>> per_round(10, 50), per_round(0.1, 50), per_round(1.0, 50)
        (10, 5, 50)
    """
    if isinstance(clients_per_round, int):
        return clients_per_round
    return max(1, round(clients_per_round * clients))


def check_at_most(key: str, value: Concurrency | float, clients: int) -> list[Problem]:
    """A problem if ``value`` is a number of clients larger than the population."""
    if isinstance(value, int) and value > clients:
        return [((key,), f"{value} is more than there are clients; expected at most {clients}")]
    return []


def check_polls(clients_per_round: int, period: float, clients: int) -> Problems:
    """Problems if a poll asks more clients than there are, or if polls follow without a pause.

    Args:
        clients_per_round: the number of clients in a poll.
        period: seconds of virtual time between two polls.
        clients: the size of the population.
    """
    yield from check_at_most("clients_per_round", clients_per_round, clients)
    if period < 1e-6:
        yield (
            ("interaction_seconds",),
            f"{period:g} together with wait_seconds would poll for ever at one instant; "
            "expected a positive number of seconds, at least a microsecond",
        )
