"""What a controller of the server knows when it decides, and what it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Decision:
    """What a controller wants from now on.

    Attributes:
        concurrency: the number of clients that train at the same time, from 1 to the number of
            clients; None keeps it.
        buffer_size: the number of updates per step of the server, at least 1; None keeps it.
        memory: plain values that the controller is given at its next decision.
    """

    concurrency: int | None = None
    buffer_size: int | None = None
    memory: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the server knows at a decision.

    A decision falls on the moment at which a version has been made. "The interval" is the time
    since the last decision, or since the start of the run.

    Attributes:
        number: the number of decisions before.
        now: virtual time (seconds).
        seconds: the length of the interval (seconds); it may be 0.
        version: the number of versions made so far.
        versions: how many of them were made in the interval, at least one.
        clients: the number of clients in the population.
        concurrency: the clients that may train at the same time; None if the strategy has no such
            setting.
        buffer_size: the updates per step of the server; None if the strategy has no such setting.
        in_flight: the tasks that have not arrived.
        idle: the clients without a task.
        arrived: the updates that arrived in the interval.
        lost: the tasks that failed, were cancelled, or whose updates were discarded in it.
        waiting: the updates that are at the server now and that it has not taken.
        staleness: the updates used in the interval, as staleness (versions) -> number of updates.
        task_seconds: the mean time from dispatch to the end of the tasks that ended in the interval
            (seconds); None if none ended.
        utilisation: the share of the interval in which the server's contended links, ``download``
            and ``upload``, and its ``aggregation`` were busy. A link that is not contended is not
            there.
        queue: the mean number of transfers on these links in the interval, waiting ones included,
            as ``download`` and ``upload``.
        memory: the plain values of the last decision.
    """

    number: int = 0
    now: float = 0.0
    seconds: float = 0.0
    version: int = 1
    versions: int = 1
    clients: int = 1
    concurrency: int | None = None
    buffer_size: int | None = None
    in_flight: int = 0
    idle: int = 0
    arrived: int = 0
    lost: int = 0
    waiting: int = 0
    staleness: Mapping[int, int] = field(default_factory=dict)
    task_seconds: float | None = None
    utilisation: Mapping[str, float] = field(default_factory=dict)
    queue: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)

    @property
    def used(self) -> int:
        """The number of updates used in the interval."""
        return sum(self.staleness.values())

    @property
    def mean_staleness(self) -> float:
        """The mean staleness of the updates used in the interval (versions).

        Example:
            >>> from afl_sim import Observation
            >>> Observation(staleness={0: 3, 4: 1}).mean_staleness
            1.0

        Raises:
            ValueError: no update was used.
        """
        return sum(value * many for value, many in self.staleness.items()) / self._some()

    def staleness_quantile(self, p: float) -> int:
        """The smallest staleness that at least the share ``p`` of the updates do not exceed.

        This is the nearest rank, as in a run's summary.

        Example:
            >>> from afl_sim import Observation
            >>> Observation(staleness={0: 18, 7: 2}).staleness_quantile(0.95)
            7

        Args:
            p: from 0 to 1.

        Raises:
            ValueError: no update was used.
        """
        rank, seen = p * self._some(), 0
        for value in sorted(self.staleness):
            seen += self.staleness[value]
            if seen >= rank:
                return value
        raise ValueError(f"there is no quantile {p:g}; expected a number from 0 to 1")

    def _some(self) -> int:
        used = self.used
        if not used:
            raise ValueError("no update was used in the interval")
        return used
