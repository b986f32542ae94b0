"""The measures of a run: those from its summary, and those that need its events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Final, TypeVar

from afl_sim.analysis.metrics import (
    ACCURACY,
    COST_TO,
    COSTS,
    FINAL,
    JAIN,
    TIME_TO,
    VARIANCE,
    WASTED,
    WORST,
    beginning_of,
    column_of,
    costs_of,
    costs_to_targets,
    final_value,
    goal_of,
    is_share,
    text_of,
    times_to_targets,
)
from afl_sim.analysis.steady import steady_state_of
from afl_sim.analysis.tally import tally
from afl_sim.errors import RunFolderError
from afl_sim.recording import Run

T = TypeVar("T")

Measured = Mapping[Path, dict[str, Any]]
"""What was measured of several runs, by run folder."""

PERCENT: Final = "%"


@dataclass(frozen=True)
class Measure:
    """How a measured figure is named and written.

    Attributes:
        heading: its name with its unit.
        form: how a value is written; a ``%`` means a share that is written in percent.
        whole: whether it counts something.
    """

    heading: str
    form: str
    whole: bool = False

    @property
    def is_share(self) -> bool:
        """Whether it is a share of 0 to 1, written in percent."""
        return PERCENT in self.form

    def text(self, value: Any, absent: str = "-") -> str:
        """A value as a table shows it."""
        if not isinstance(value, Real) or value != value:
            return absent
        return self.form.format(value).removesuffix(PERCENT)


MEASURES: Final = {
    "final_accuracy": Measure("final accuracy (%)", "{:.2%}"),
    "versions": Measure("versions", "{:,.0f}", whole=True),
    "updates": Measure("updates aggregated", "{:,.0f}", whole=True),
    "in_flight": Measure("in flight at the end", "{:,.0f}", whole=True),
    "mean_staleness": Measure("mean staleness (versions)", "{:.2f}"),
    "max_staleness": Measure("max staleness (versions)", "{:,.0f}", whole=True),
    "idle_fraction": Measure("idle fraction (%)", "{:.1%}"),
    "virtual_seconds": Measure("virtual time (s)", "{:,.1f}"),
    "warm_up_seconds": Measure("warm-up cut (s)", "{:,.1f}"),
    "steady_staleness": Measure("steady staleness (versions)", "{:.2f}"),
    "steady_utilisation": Measure("steady utilisation (%)", "{:.1%}"),
    "steady_throughput": Measure("steady updates per second", "{:.3g}"),
}
"""Every measure by its column, in the order in which tables show them. Those of metrics besides
accuracy follow the first; see `of_metrics`."""

_BETWEEN_CLIENTS: Final = {
    WORST: ("worst tenth of the clients", "worst_decile"),
    VARIANCE: ("variance between clients", "variance"),
    JAIN: ("Jain's index of the clients", "jain"),
}


def measure_of(name: str) -> Measure:
    """The measure of a column, of `MEASURES`, of a time to a target, or of a metric."""
    if name in MEASURES:
        return MEASURES[name]
    if name.startswith(TIME_TO):
        return Measure(f"time to {text_of(goal_of(name))} (s)", "{:,.1f}")
    if name.startswith(COST_TO):
        what, unit = COSTS[beginning_of(name).removesuffix("_to_")]
        return _of_cost(f"{what} to {text_of(goal_of(name))}", unit)
    if name in COSTS:
        return _of_cost(*COSTS[name])
    if name == WASTED:
        return _of_cost("energy wasted", "J")
    for prefix, (words, _) in _BETWEEN_CLIENTS.items():
        if name.startswith(prefix):
            metric = name.removeprefix(prefix)
            if prefix == WORST and is_share(metric):
                return Measure(f"{metric}, {words} (%)", "{:.2%}")
            return Measure(f"{metric}, {words}", "{:.4g}")
    metric = name.removeprefix(FINAL)
    return (
        Measure(f"final {metric} (%)", "{:.2%}")
        if is_share(metric)
        else Measure(f"final {metric}", "{:.4g}")
    )


def parts_of_costs(run: Run) -> list[tuple[str, str]]:
    """What makes up the energy, price and carbon of a run: heading and value of each part."""
    return [
        (measure.heading, measure.text(value))
        for block, (what, unit) in COSTS.items()
        for part, value in (run.summary.get(block) or {}).items()
        if part not in ("total", "wasted") and (measure := _of_cost(f"{what}, {part}", unit))
    ]


def _of_cost(heading: str, unit: str) -> Measure:
    places = {"J": 1, "g": 3}.get(unit, 4)
    return Measure(f"{heading} ({unit})" if unit else heading, f"{{:,.{places}f}}")


def of_metrics(run: Run) -> dict[str, float | None]:
    """A run's metrics at the end besides accuracy, and how the main one differs between clients."""
    found: dict[str, float | None] = {
        f"{FINAL}{metric}": final_value(run, metric) for metric in run.better if metric != ACCURACY
    }
    main = run.main_metric
    differences: dict[str, float | None] = (run.summary.get("fairness") or {}).get(main) or {}
    for prefix, (_, key) in _BETWEEN_CLIENTS.items() if differences else ():
        found[f"{prefix}{main}"] = differences.get(key)
    return found


def measure_all(runs: Iterable[Run]) -> Measured:
    """The `measurements` of runs by their folders."""
    return {run.path: measurements(run) for run in runs}


def measurements(run: Run) -> dict[str, Any]:
    """A run's measures by column; None if a measure has no value. See `MEASURES` for the units.

    ``seconds_to_<target>`` is there for each target of accuracy of a run that trained, None where
    the target was not reached; and so is ``seconds_to_<metric>_<target>`` for other metrics. What a
    run used and cost is there if it was counted, and so is what it had used at each target.
    """
    summary = run.summary
    steady = (
        _unless_unended(run, lambda: steady_state_of(lambda names: run.event_batches(*names)))
        if summary
        else None
    )
    updates = summary.get("updates") or {}
    staleness = summary.get("staleness") or {}
    return {
        **{column_of(goal): seconds for goal, seconds in times_to_targets(run).items()},
        **costs_to_targets(run),
        "final_accuracy": final_value(run, ACCURACY),
        **of_metrics(run),
        **costs_of(run),
        "versions": summary.get("versions"),
        "updates": updates.get("aggregated"),
        "in_flight": updates.get("in_flight"),
        "mean_staleness": staleness.get("mean"),
        "max_staleness": staleness.get("max"),
        "idle_fraction": summary.get("idle_fraction"),
        "virtual_seconds": summary.get("virtual_seconds"),
        **(steady or {}),
    }


def has_events(run: Run) -> bool:
    """Whether a run has recorded its events. It has not while it runs, or if it failed early.

    Raises:
        RunFolderError: they should be there and are not, or are damaged.
    """
    if run.status not in {"unfinished", "failed"}:
        return run.event_count >= 0
    return _unless_unended(run, lambda: tally(run)) is not None


def _unless_unended(run: Run, read: Callable[[], T]) -> T | None:
    try:
        return read()
    except RunFolderError:
        if run.status in {"unfinished", "failed"}:
            return None
        raise


def has_ended(run: Run) -> bool:
    """Whether a run has ended, also by divergence; it reaches no further targets then."""
    return run.status in {"complete", "diverged"}
