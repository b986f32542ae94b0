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


def column_of(goal: Goal) -> str:
    """The column of the time to a target; of an accuracy it has the target alone."""
    metric, target = goal
    return f"{TIME_TO}{target:g}" if metric == ACCURACY else f"{TIME_TO}{metric}_{exact(target)}"


def goal_of(column: str) -> Goal:
    """What `column_of` has named."""
    metric, _, target = column.removeprefix(TIME_TO).rpartition("_")
    return metric or ACCURACY, float(target)


def order_of(column: str) -> tuple[bool, str, float]:
    """By what columns of times to targets are sorted: accuracies first."""
    metric, target = goal_of(column)
    return metric != ACCURACY, metric, target


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


def times_to_accuracy(run: Run) -> dict[float, float | None]:
    """The part of `times_to_targets` that is about accuracy, by target."""
    return {
        target: seconds
        for (metric, target), seconds in times_to_targets(run).items()
        if metric == ACCURACY
    }


def has_metric(run: Run, metric: str) -> bool:
    """Whether a run has an evaluation in which a metric has a value."""
    return metric in run.metrics and bool(run.metrics[metric].notna().any())


def has_main_metric(run: Run) -> bool:
    """Whether a run has an evaluation with a value of its main metric."""
    return has_metric(run, run.main_metric)
