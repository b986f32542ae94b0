"""The numbers of ``summary.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from afl_sim.errors import AflSimError
from afl_sim.world.clock import MICROSECONDS
from afl_sim.world.server.statistics import Counts


class EvaluationRow(Protocol):
    """One row of the metrics log."""

    @property
    def time_us(self) -> int: ...
    @property
    def accuracy(self) -> float | None: ...
    @property
    def loss(self) -> float | None: ...


def summarize(
    *,
    name: str,
    status: str,
    stopped_by: str,
    time_us: int,
    versions: int,
    counts: Counts,
    in_flight_us: int,
    evaluations: Sequence[EvaluationRow],
    targets: Iterable[float],
) -> dict[str, Any]:
    """The part of the summary that follows from virtual time and the metrics.

    Args:
        name: the scenario's name.
        status: how the run ended.
        stopped_by: the stop rule that was reached.
        time_us: virtual time at the end.
        versions: versions that the server made.
        counts: what became of the tasks.
        in_flight_us: client-microseconds spent on tasks that are still in flight at the end.
        evaluations: the rows of the metrics log; a diverged evaluation has no accuracy.
        targets: accuracies for which the time to reach them is reported.

    Raises:
        AflSimError: the counts do not balance; this is a defect of the simulator.
    """
    check_balance(counts)
    sound = [row for row in evaluations if row.accuracy is not None]
    last = sound[-1] if sound else None
    return {
        "name": name,
        "status": status,
        "stopped_by": stopped_by,
        "virtual_seconds": time_us / MICROSECONDS,
        "versions": versions,
        "updates": counts.as_dict(),
        "samples_trained": counts.samples,
        "final": {
            "accuracy": last.accuracy if last else None,
            "loss": last.loss if last else None,
        },
        "time_to_accuracy": {f"{target:g}": _first_time(evaluations, target) for target in targets},
        "staleness": staleness_figures(counts.staleness),
        "idle_fraction": idle_fraction(
            counts.busy_us + in_flight_us, counts.peak_in_flight, time_us
        ),
    }


def check_balance(counts: Counts) -> None:
    """Check that every task is counted once.

    Raises:
        AflSimError: a task was lost or counted twice.
    """
    if min(counts.as_dict().values()) < 0 or counts.staleness.total() != counts.aggregated:
        raise AflSimError(f"the counts of tasks do not balance: {counts.as_dict()}")


def staleness_figures(histogram: Counter[int]) -> dict[str, float | int | None]:
    """Mean, median, 95th percentile (nearest rank) and maximum, in versions."""
    total = histogram.total()
    if not total:
        return {"mean": None, "p50": None, "p95": None, "max": None}
    return {
        "mean": sum(value * count for value, count in histogram.items()) / total,
        "p50": _rank(histogram, 0.50 * total),
        "p95": _rank(histogram, 0.95 * total),
        "max": max(histogram),
    }


def idle_fraction(busy_us: int, peak_in_flight: int, time_us: int) -> float | None:
    """``1 - busy client-seconds / (peak in flight x virtual seconds)``; None if nothing ran."""
    available = peak_in_flight * time_us
    return 1 - busy_us / available if available else None


def _rank(histogram: Counter[int], rank: float) -> int:
    seen = 0
    for value in sorted(histogram):
        seen += histogram[value]
        if seen >= rank:
            return value
    raise AssertionError("a rank is at most the total")


def _first_time(evaluations: Sequence[EvaluationRow], target: float) -> float | None:
    for row in evaluations:
        if row.accuracy is not None and row.accuracy >= target:
            return row.time_us / MICROSECONDS
    return None
