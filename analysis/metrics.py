"""The metrics of runs: how they are named, scaled and compared with their targets."""

from __future__ import annotations

from typing import Final

from afl_sim.recording import Run
from afl_sim.scenario.sections.metrics import METRICS, PERSONAL
from afl_sim.scenario.wording import exact

ACCURACY: Final = "accuracy"
FINAL: Final = "final_"
"""How the column of a metric at the end of a run begins."""

TIME_TO: Final = "seconds_to_"
"""How the column of the virtual time to a target begins."""

COSTS: Final = {
    "energy_joules": ("energy", "J"),
    "price": ("price", ""),
    "carbon_grams": ("carbon", "g"),
}
"""What a run uses and costs, by the block of its summary: what it is, and its unit."""

COST_TO: Final = tuple(f"{block}_to_" for block in COSTS)
"""How the column of what was used until a target begins."""

WASTED: Final = "wasted_joules"

TO_TARGET: Final = (TIME_TO, *COST_TO)
"""How the columns of the time to a target, and of what was used until then, begin."""

WORST: Final = "worst_decile_"
VARIANCE: Final = "variance_"
JAIN: Final = "jain_"
"""How the columns of a metric's differences between clients begin."""

Goal = tuple[str, float]
"""A metric and a target of it."""


def is_share(metric: str) -> bool:
    """Whether a metric is from 0 to 1, and written in percent."""
    measured = metric.removeprefix(PERSONAL)
    return measured in METRICS and METRICS[measured].is_share


def scale_of(metric: str) -> float:
    """The factor with which a metric is drawn."""
    return 100.0 if is_share(metric) else 1.0


def label_of(metric: str) -> str:
    """A metric with its unit, as axes have it."""
    return f"{metric} (%)" if is_share(metric) else metric


def column_of(goal: Goal, begin: str = TIME_TO) -> str:
    """The column of the time to a target; of an accuracy it has the target alone.

    Args:
        goal: the metric and its target.
        begin: one of `TO_TARGET`.
    """
    metric, target = goal
    return f"{begin}{target:g}" if metric == ACCURACY else f"{begin}{metric}_{exact(target)}"


def beginning_of(column: str) -> str:
    """Which of `TO_TARGET` a column begins with."""
    return next(begin for begin in TO_TARGET if column.startswith(begin))


def goal_of(column: str) -> Goal:
    """What `column_of` has named."""
    metric, _, target = column.removeprefix(beginning_of(column)).rpartition("_")
    return metric or ACCURACY, float(target)


def order_of(column: str) -> tuple[int, bool, str, float]:
    """By what columns of targets are sorted: times first, and accuracies first of them."""
    metric, target = goal_of(column)
    return TO_TARGET.index(beginning_of(column)), metric != ACCURACY, metric, target


def text_of(goal: Goal) -> str:
    """A target in words: ``90 %`` of accuracy, ``rmse 3``."""
    metric, target = goal
    value = f"{100 * target:g} %" if is_share(metric) else f"{target:g}"
    return value if metric == ACCURACY else f"{metric} {value}"


def final_value(run: Run, metric: str) -> float | None:
    """A metric of the last evaluation; None without training."""
    value = (run.summary.get("final") or {}).get(metric)
    return None if value is None else float(value)


def times_to_targets(run: Run) -> dict[Goal, float | None]:
    """Virtual seconds to each target, ascending; None where it was not reached.

    Empty for a run without training, which has targets and no metric that could meet them.
    """
    if not run.better:
        return {}
    found: dict[str, dict[str, float | None]] = dict(run.summary.get("time_to") or {})
    if ACCURACY in run.better:
        found[ACCURACY] = run.summary.get("time_to_accuracy") or {}
    return {
        (metric, target): times[key]
        for metric, times in sorted(found.items())
        for target, key in sorted((float(key), key) for key in times)
    }


def costs_to_targets(run: Run) -> dict[str, float | None]:
    """What was used until each target, by column, ascending; None where it was not reached."""
    found = {
        column_of((metric, float(target)), f"{block}_to_"): used
        for block in COSTS
        for metric, targets in (run.summary.get(f"{block}_to") or {}).items()
        for target, used in targets.items()
    }
    return {column: found[column] for column in sorted(found, key=order_of)}


def costs_of(run: Run) -> dict[str, float | None]:
    """The totals of what the run used and cost, and the energy that was wasted, by column."""
    blocks = {block: run.summary.get(block) or {} for block in COSTS}
    found = {block: entries["total"] for block, entries in blocks.items() if "total" in entries}
    wasted = blocks["energy_joules"].get("wasted")
    return found if wasted is None else {**found, WASTED: wasted}


def times_to_accuracy(run: Run) -> dict[float, float | None]:
    """The part of `times_to_targets` that is about accuracy, by target."""
    return {
        target: seconds
        for (metric, target), seconds in times_to_targets(run).items()
        if metric == ACCURACY
    }


def has_metric(run: Run, metric: str) -> bool:
    """Whether a run has an evaluation in which a metric has a value."""
    if run.timing_only:  # its table has no rows, and reading a thousand such tables takes seconds
        return False
    return metric in run.metrics and bool(run.metrics[metric].notna().any())


def has_main_metric(run: Run) -> bool:
    """Whether a run has an evaluation with a value of its main metric."""
    return has_metric(run, run.main_metric)
