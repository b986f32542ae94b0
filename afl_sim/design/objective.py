"""What a run costs until it reaches the target, and whether it keeps the constraints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from afl_sim.analysis.metrics import text_of
from afl_sim.design.problem import Problem
from afl_sim.design.schedule import NEVER, Schedule
from afl_sim.recording import Run
from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.design import Design, Limit
from afl_sim.scenario.sections.metrics import Better, is_reached
from afl_sim.scenario.wording import hint

COSTS: Final[Mapping[str, tuple[str, str, float]]] = {
    "time": ("virtual time", "s", 1.0),
    "bytes": ("bytes transferred", "MB", 1e-6),
    "samples": ("samples trained", "samples", 1.0),
    "energy": ("energy", "J", 1.0),
    "price": ("price", "", 1.0),
    "carbon": ("carbon dioxide", "g", 1.0),
}
"""The costs: their names, the units in which they are shown, and the factors to these."""

SPENT: Final = {
    "seconds": "time",
    "bytes": "bytes",
    "samples": "samples",
    "energy_joules": "energy",
    "price": "price",
    "carbon_grams": "carbon",
}
"""The measures that grow with time, by the cost that they limit: until the target is reached."""

SCHEDULED: Final[Mapping[str, Callable[[Schedule], float]]] = {
    "mean_staleness": lambda schedule: schedule.staleness_figure("mean"),
    "staleness_p50": lambda schedule: schedule.staleness_figure("p50"),
    "staleness_p95": lambda schedule: schedule.staleness_figure("p95"),
    "max_staleness": lambda schedule: schedule.staleness_figure("max"),
    "idle_fraction": lambda schedule: schedule.idle_fraction,
    "wasted_fraction": lambda schedule: schedule.wasted_fraction,
}
"""The measures of a schedule as a whole."""


def _worst_decile(summary: Mapping[str, Any]) -> float | None:
    accuracy = (summary.get("fairness") or {}).get("accuracy") or {}
    found: float | None = accuracy.get("worst_decile")
    return found


def _final_accuracy(summary: Mapping[str, Any]) -> float | None:
    found: float | None = (summary.get("final") or {}).get("accuracy")
    return found


TRAINED: Final[Mapping[str, Callable[[Mapping[str, Any]], float | None]]] = {
    "worst_decile_accuracy": _worst_decile,
    "final_accuracy": _final_accuracy,
}
"""The measures that only training tells, from a run's summary."""


@dataclass(frozen=True)
class Reach:
    """How far a run came.

    Attributes:
        cost: at which it reached the target; None if it did not.
        share: the part of the way from the first value of the metric to the target that its best
            value has gone, 0 to 1.
        time_us: when it reached the target.
    """

    cost: float | None
    share: float
    time_us: int | None = None

    def progress(self, limit: float) -> float:
        """One number: below 1 for a run that has not reached the target by a limit, else from 1 to
        2, and the larger, the less it cost."""
        if self.cost is None:
            return self.share
        return 2.0 - self.cost / limit if limit else 2.0


@dataclass(frozen=True)
class Goal:
    """The objective of a design.

    Attributes:
        cost: what is to be small.
        metric, target: what is to be reached.
        better: which of two values of the metric is better.
    """

    cost: str
    metric: str
    target: float
    better: Better

    @property
    def text(self) -> str:
        """The target in words, such as ``95 %``."""
        return text_of((self.metric, self.target))

    def reach(self, run: Run, schedule: Schedule, before_us: int = NEVER) -> Reach:
        """How far a run came by its evaluations before a moment.

        Args:
            run: a run of the schedule.
            schedule: has the costs.
            before_us: later evaluations do not count.
        """
        frame = run.metrics
        if self.metric not in frame:
            return Reach(None, 0.0)
        frame = frame[(frame["time_us"] < before_us) & frame[self.metric].notna()]
        values = [float(value) for value in frame[self.metric]]
        for time_us, value in zip(frame["time_us"], values, strict=True):
            if is_reached(value, self.target, self.better):
                return Reach(schedule.cost(self.cost, int(time_us)), 1.0, int(time_us))
        if not values:
            return Reach(None, 0.0)
        best = max(values) if self.better == "higher" else min(values)
        way = self.target - values[0]
        return Reach(None, min(max((best - values[0]) / way, 0.0), 1.0) if way else 0.0)


def goal_of(problem: Problem, metrics: Mapping[str, Better], schedule: Schedule) -> Goal:
    """The objective, once it is known that runs tell it.

    Args:
        problem: the design.
        metrics: what its runs measure.
        schedule: of the scenario as it stands: has the costs that it knows.

    Raises:
        ScenarioError: the metric is never evaluated before the end, or the cost is not known.
    """
    asked = problem.design.minimize
    if asked.metric not in metrics:
        problem.refuse(
            "minimize",
            f"{asked.name} needs {asked.metric}, which is never evaluated; this scenario measures "
            f"{', '.join(metrics)}{hint(asked.metric, metrics)}",
        )
    if not _is_evaluated_on_the_way(problem.scenario):
        problem.refuse(
            "minimize",
            f"{asked.name} needs evaluations on the way, but the model is evaluated only at the "
            "start and at the end; expected evaluation.every_seconds or every_versions, below the "
            "end in stop",
        )
    for limit in problem.design.constraints:
        _check_limit(problem, limit, schedule, metrics)
    if asked.cost not in ("time", *schedule.spending):
        problem.refuse("minimize", _no_account(asked.name))
    return Goal(asked.cost, asked.metric, asked.target, metrics[asked.metric])


def _is_evaluated_on_the_way(scenario: Scenario) -> bool:
    evaluation, stop = scenario.evaluation, scenario.stop
    pairs = (
        (evaluation.every_versions, stop.versions),
        (evaluation.every_seconds, stop.virtual_seconds),
    )
    return any(every is not None and (end is None or every < end) for every, end in pairs)


def _check_limit(
    problem: Problem, limit: Limit, schedule: Schedule, metrics: Mapping[str, Better]
) -> None:
    cost = SPENT.get(limit.measure)
    if cost is not None and cost not in ("time", *schedule.spending):
        problem.refuse("constraints", _no_account(limit.measure))
    if cost is not None and limit.sign == ">=":
        problem.refuse(
            "constraints", f"{limit}: {limit.measure} is a cost, so only <= can be asked for"
        )
    if limit.measure in TRAINED and "accuracy" not in metrics:
        problem.refuse(
            "constraints",
            f"{limit}: accuracy is never evaluated; this scenario measures {', '.join(metrics)}",
        )
    if limit.measure == "worst_decile_accuracy" and not problem.scenario.evaluation.per_client:
        problem.refuse(
            "constraints",
            f"{limit.measure} is never measured; expected evaluation.per_client: true",
        )


def _no_account(name: str) -> str:
    return (
        f"this scenario does not count what {name} needs; expected clients.power for energy, also "
        "carbon_intensity for carbon, and clients.price or server.price for a price"
    )


def cut_us(design: Design, schedule: Schedule) -> tuple[int, Limit | None]:
    """When a run must have reached the target to keep every limit of its costs.

    Returns:
        The first microsecond that is too late, and the limit that says so; `NEVER` and None if no
        limit comes before the run's end.
    """
    found = [
        (schedule.beyond_us(SPENT[limit.measure], limit.value), limit)
        for limit in design.constraints
        if limit.measure in SPENT
    ]
    soonest = min(found, key=lambda each: each[0], default=(NEVER, None))
    return soonest if soonest[0] <= schedule.end_us else (NEVER, None)


def broken_by_schedule(design: Design, schedule: Schedule) -> list[tuple[Limit, float]]:
    """The limits that a schedule as a whole does not keep, each with the value found."""
    return [
        (limit, value)
        for limit in design.constraints
        if limit.measure in SCHEDULED
        and not limit.is_met(value := SCHEDULED[limit.measure](schedule))
    ]


def broken_by_training(design: Design, summary: Mapping[str, Any]) -> list[tuple[Limit, float]]:
    """The limits that a run does not keep, among those that only training tells, and the values.

    A value that is not known is NaN.
    """
    return [
        (limit, math.nan if value is None else value)
        for limit in design.constraints
        if limit.measure in TRAINED and not limit.is_met(value := TRAINED[limit.measure](summary))
    ]
