"""Time limits of a strategy that no task of the fleet can keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from afl_sim.scenario.catalogue import NamedBlock
from afl_sim.scenario.checks.parts import parts_of
from afl_sim.scenario.distributions.uses import smallest
from afl_sim.scenario.mistakes.explain import Finding

_ROUNDING = 3e-6  # seconds: the clock rounds each part of a task to a microsecond


def limits_too_short(clients: Any, strategy: NamedBlock | None) -> Iterator[Finding]:
    """A time after which every task is given up, however short it turns out.

    Such a run would send tasks for ever and use none of them.
    """
    limit = getattr(strategy, "task_limit", None)
    if clients is None or strategy is None or limit is None:
        return
    key, seconds = limit
    least = min(_least_seconds(fleet) for _, fleet in parts_of(clients))
    if least > seconds + _ROUNDING:
        yield Finding(
            ("strategy", key),
            f"got {seconds:g} s, but a task takes {least:g} s at least, from the download to the "
            f"end of the upload, so {strategy.kind} would give up every one; expected at least "
            f"{least:g}",
        )


def _least_seconds(fleet: Any) -> float:
    """A time than which no task of the fleet is shorter; the bytes of a model are left out."""
    network = fleet.network
    seconds = _least_computing(fleet)
    for link in (network.download, network.upload):
        seconds += smallest(link.latency) * smallest(link.jitter)
    return seconds


def _least_computing(fleet: Any) -> float:
    """The shortest time of one local step, or of a task where its steps do not matter."""
    compute = fleet.compute
    if fleet.devices is not None or compute.unit not in ("step", "task"):
        return 0.0  # it depends on the model, or on how few samples a client may hold
    seconds = smallest(compute.speed) * smallest(compute.jitter)
    seconds += smallest(compute.jitter_seconds)
    if compute.max_seconds is not None:
        seconds = min(seconds, compute.max_seconds)
    if compute.slowdowns is not None:
        seconds *= min(1.0, smallest(compute.slowdowns.factor))
    if compute.hours is not None:
        seconds /= max(1.0, *compute.hours.speed)
    return seconds
