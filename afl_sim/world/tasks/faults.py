"""Faults of clients' tasks. Each is a function of the client and the task's number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, Self

from afl_sim.errors import ScenarioError
from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.sections import faults as spec
from afl_sim.streams import Streams
from afl_sim.world.microseconds import MICROSECONDS, to_microseconds


class AnyFaults(Protocol):
    """The faults of clients' tasks.

    Attributes:
        loses_uploads: whether an upload can be lost.
    """

    loses_uploads: bool

    def of(self, client: int) -> Faults:
        """The faults of a client's tasks."""


class Faults:
    """Draws the faults of clients' tasks.

    Args:
        settings: their probabilities.
        streams: the run's random streams.

    Attributes:
        loses_uploads: whether an upload can be lost.
        from_us: tasks that are sent before this microsecond do not crash.
        noticed_us: how long after its dispatch the server notices that a task has crashed.
    """

    def __init__(self, settings: spec.Faults, streams: Streams) -> None:
        self._spec = settings
        self._streams = streams
        loss = settings.upload_loss
        self.loses_uploads = loss is not None and loss.probability > 0
        self.from_us = round(settings.crash_from * MICROSECONDS)
        self.noticed_us = round((settings.noticed_after or 0) * MICROSECONDS)

    def of(self, client: int) -> Self:
        """The same faults for every client."""
        return self

    def crash_us(self, client: int, number: int, compute_us: int) -> int | None:
        """When the task crashes, in microseconds after its computation began; None if never."""
        if self._spec.crash.constant == 0:
            return None
        p = draw(self._spec.crash, self._streams, "faults.crash_probability", client)
        if not 0 <= p <= 1:
            raise ScenarioError(f"clients.faults.crash: drew {p:g}; expected a probability")
        if self._streams.uniform("faults.crash", client, number) >= p:
            return None
        return max(
            1, int(self._streams.uniform("faults.crash_moment", client, number) * compute_us)
        )

    def always_crashes(self, client: int) -> bool:
        """Whether every task of the client crashes that is sent from `from_us` on."""
        law = self._spec.crash
        return law.constant != 0 and (
            draw(law, self._streams, "faults.crash_probability", client) == 1
        )

    def is_lost(self, client: int, number: int, attempt: int) -> bool:
        """Whether an upload of the task is lost; ``attempt`` counts its uploads from 0."""
        loss = self._spec.upload_loss
        if loss is None or loss.probability == 0:
            return False
        u = self._streams.uniform("faults.upload_loss", client, number)
        return u < loss.probability ** (attempt + 1)

    def timeout_us(self) -> int:
        """How long a client waits for the server's answer, in microseconds."""
        assert self._spec.upload_loss is not None
        return round(self._spec.upload_loss.timeout * MICROSECONDS)

    def backoff_us(self, attempt: int) -> int | None:
        """How long it then waits before it tries again; None if it gives up."""
        loss = self._spec.upload_loss
        assert loss is not None
        if attempt >= loss.retries:
            return None
        return round(min(loss.backoff * 2.0**attempt, 9e12) * MICROSECONDS)

    def corruption(self, client: int, number: int) -> float | None:
        """What the update is multiplied by: a factor, or NaN; None if it is not corrupted."""
        fault = self._spec.corruption
        if fault is None or self._streams.uniform("faults.corruption", client, number) >= (
            fault.probability
        ):
            return None
        return math.nan if fault.kind == "nan" else fault.factor

    def duplicate_us(self, client: int, number: int) -> int | None:
        """How long after the update a copy of it arrives; None if there is no copy."""
        fault = self._spec.duplication
        if fault is None or self._streams.uniform("faults.duplication", client, number) >= (
            fault.probability
        ):
            return None
        seconds = draw(fault.delay, self._streams, "faults.duplication_delay", client, number)
        return to_microseconds(seconds, "clients.faults.duplication.delay") if seconds else 0


class FaultsByGroup:
    """The faults of tasks, where each group has faults of its own.

    Args:
        parts: the faults.
        of: those of a client's tasks.

    Attributes:
        loses_uploads: whether an upload can be lost.
    """

    def __init__(self, parts: Sequence[Faults], of: Callable[[int], Faults]) -> None:
        self.of = of
        self.loses_uploads = any(part.loses_uploads for part in parts)
