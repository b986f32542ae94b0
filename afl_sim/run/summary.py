"""The numbers of ``summary.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from typing import Any, Final, Protocol

from afl_sim.errors import AflSimError
from afl_sim.scenario.sections.metrics import Better, is_reached
from afl_sim.scenario.wording import exact
from afl_sim.world.account.costs import Costs
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.server.statistics import Counts

_NONE: Final[dict[tuple[int, int], Costs]] = {}


class EvaluationRow(Protocol):
    """One row of the metrics log."""

    @property
    def time_us(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def loss(self) -> float | None: ...
    @property
    def clients(self) -> Mapping[str, Sequence[float | None]]: ...
    def value(self, name: str) -> float | None: ...


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
    targets: Mapping[str, Iterable[float]],
    metrics: Mapping[str, Better],
    costs: Costs | None = None,
    costs_at: Mapping[tuple[int, int], Costs] = _NONE,
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
        evaluations: the rows of the metrics log; one that diverged has no loss.
        targets: by metric, the values for which the time to reach them is reported.
        metrics: what evaluations measured, and which of two values is better; empty if nothing was
            trained.
        costs: what the run used and cost; None if that was not counted.
        costs_at: the same by (time_us, version) of each evaluation until then.

    Raises:
        AflSimError: the counts do not balance; this is a defect of the simulator.
    """
    check_balance(counts)
    sound = [row for row in evaluations if row.loss is not None]
    last = sound[-1] if sound else None
    summary: dict[str, Any] = {
        "name": name,
        "status": status,
        "stopped_by": stopped_by,
        "virtual_seconds": time_us / MICROSECONDS,
        "versions": versions,
        "updates": counts.as_dict(),
        "samples_trained": counts.samples,
        "final": {
            name: last.value(name) if last else None for name in ("accuracy", "loss", *metrics)
        },
        "metrics": dict(metrics),
        "time_to": {
            name: {exact(target): _first_time(evaluations, name, target, better) for target in own}
            for name, better in metrics.items()
            if (own := list(targets.get(name, ())))
        },
        "staleness": staleness_figures(counts.staleness),
        "idle_fraction": idle_fraction(
            counts.busy_us + in_flight_us, counts.peak_in_flight, time_us
        ),
    }
    if not metrics or "accuracy" in metrics:
        summary["time_to_accuracy"] = {
            f"{target:g}": _first_time(evaluations, "accuracy", target, "higher")
            for target in targets.get("accuracy", ())
        }
    if costs is not None:
        summary |= {name: dict(block) for name, block in costs.blocks.items()}
        for name in costs.blocks:
            summary[f"{name}_to"] = {
                metric: {
                    exact(target): _costs_to(evaluations, metric, target, better, costs_at, name)
                    for target in own
                }
                for metric, better in metrics.items()
                if (own := list(targets.get(metric, ())))
            }
    if last is not None and last.clients:
        summary["fairness"] = {
            name: fairness(values, metrics[name]) for name, values in last.clients.items()
        }
    return summary


def fairness(values: Sequence[float | None], better: Better) -> dict[str, float | None]:
    """How a metric differs between clients; those for which it is not defined are left out.

    Args:
        values: of the clients.
        better: which of two values is better.

    Returns:
        ``mean``; ``worst_decile``, the mean of the tenth of the clients (at least one) that are
        worst off; ``variance`` of the clients; ``jain``, Jain's index (sum x)^2 / (n sum x^2),
        which is 1 if all are equal and 1/n if one has everything, and None for negative values.
    """
    known = sorted((value for value in values if value is not None), reverse=better == "lower")
    if not known:
        return dict.fromkeys(("mean", "worst_decile", "variance", "jain"))
    count = len(known)
    mean = fsum(known) / count
    worst = known[: max(1, round(count / 10))]
    squares = fsum(value * value for value in known)
    return {
        "mean": mean,
        "worst_decile": fsum(worst) / len(worst),
        "variance": fsum((value - mean) ** 2 for value in known) / count,
        "jain": fsum(known) ** 2 / (count * squares) if min(known) >= 0 and squares else None,
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


def _first_time(
    evaluations: Sequence[EvaluationRow], name: str, target: float, better: Better
) -> float | None:
    row = _first(evaluations, name, target, better)
    return None if row is None else row.time_us / MICROSECONDS


def _costs_to(
    evaluations: Sequence[EvaluationRow],
    name: str,
    target: float,
    better: Better,
    costs_at: Mapping[tuple[int, int], Costs],
    block: str,
) -> float | None:
    """The total of a block at the evaluation that reaches a target first."""
    row = _first(evaluations, name, target, better)
    return None if row is None else costs_at[row.time_us, row.version].totals[block]


def _first(
    evaluations: Sequence[EvaluationRow], name: str, target: float, better: Better
) -> EvaluationRow | None:
    """The first evaluation that reaches a target."""
    for row in evaluations:
        if is_reached(row.value(name), target, better):
            return row
    return None
