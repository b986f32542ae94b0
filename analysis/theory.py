"""Theoretical predictions for a run, if there are any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from afl_sim.recording import Run

# By how a version comes to be: a round, one update, or a buffer of them.
_ROUNDS: Final = ("fedavg", "fedprox", "scaffold", "feddyn")
_ONE_BY_ONE: Final = (
    *("fedasync", "asyncsgd", "delay_adaptive", "asofed", "ia2sgd", "generalized_asyncsgd"),
    *("aced", "rescaled_asgd"),
)
_QUEUEING: Final = ("generalized_asyncsgd",)  # may have more tasks in flight than clients
_BUFFERED: Final = (
    *("fedbuff", "fadas", "ca2fl", "fedstaleweight", "momentum_approximation", "fedac"),
    "fedpsa",
)


@dataclass(frozen=True)
class Oracle:
    """An expected value in the long run.

    Attributes:
        value: in the unit of what it is compared with.
        formula: as a legend writes it.
    """

    value: float
    formula: str


def mean_staleness(run: Run) -> Oracle | None:
    """The mean staleness (versions) of a server that keeps a constant number of tasks in flight.

    With m tasks in flight and K updates in a version, each version makes the other tasks older by
    one in all: the long-run mean is ``(m - 1) / K`` for any law of the task times, or ``m / K``
    where who fills a buffer is replaced before the step. Synchronous rounds have none. None where
    tasks are lost, discarded for their age or polled, where clients come and go, so that there may
    be fewer than m, where a controller changes m or K, and for strategies of other schedules.
    """
    block = run.scenario.get("strategy")
    if not isinstance(block, dict) or _loses_tasks(run) or _adapts(run):
        return None
    kind = str(block.get("kind"))
    if kind in _ROUNDS:
        return Oracle(0.0, "0")
    if kind not in {*_ONE_BY_ONE, *_BUFFERED} or block.get("max_staleness") is not None:
        return None
    fleet = run.scenario.get("clients") or {}
    if _comes_and_goes(fleet.get("availability") or {}):
        return None
    clients = int(fleet.get("count") or 0)
    concurrency = block.get("concurrency", "all")
    in_flight = clients if concurrency == "all" else concurrency
    if not isinstance(in_flight, int) or (in_flight > clients and kind not in _QUEUEING):
        return None
    if kind in _ONE_BY_ONE:
        return Oracle(in_flight - 1.0, "m − 1")
    buffer = block.get("buffer_size")
    if not isinstance(buffer, int) or buffer < 1:
        return None
    if block.get("replacement") == "before_step":
        return Oracle(in_flight / buffer, "m / K")
    return Oracle((in_flight - 1) / buffer, "(m − 1) / K")


def _comes_and_goes(availability: Mapping[str, Any]) -> bool:
    return availability.get("kind", "always") != "always" or availability.get("leaves") is not None


def _adapts(run: Run) -> bool:
    server = run.scenario.get("server")
    return isinstance(server, dict) and server.get("adaptive") is not None


def _loses_tasks(run: Run) -> bool:
    updates = run.summary.get("updates") or {}
    return any(updates.get(fate) for fate in ("failed", "cancelled", "discarded"))
