"""How a caller follows a run, and asks it to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        seconds: virtual time.
        version: the server's version.
        updates, samples: aggregated so far.
        accuracy: of the last evaluation; None before the first, without training, and where it is
            not measured.
        metric: the name of the run's main metric and its value at the last evaluation; None where
            it has none.
    """

    seconds: float
    version: int
    updates: int
    samples: int
    accuracy: float | None
    metric: tuple[str, float] | None = None


@dataclass(frozen=True)
class Observer:
    """The callbacks of a run. Each may be None.

    Attributes:
        progress: called with each version, and about ten times a second between versions.
        stop_wanted: returns whether the run should stop. It is called after each version, where a
            checkpoint can be written, and between events if no version comes for a second.
        first_version: called once, when the run has made its first version.
        notice: called with one line that the user should read before the run goes on.
    """

    progress: Callable[[Progress], None] | None = None
    stop_wanted: Callable[[], bool] | None = None
    first_version: Callable[[], None] | None = None
    notice: Callable[[str], None] | None = None
