"""Settings compared over replications: intervals, paired differences, and plain sentences."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from afl_sim.analysis.difference_words import WORDINGS, Wording, in_part, of_metric, of_target, say
from afl_sim.analysis.measures import Measured, has_ended, measure_all, measure_of
from afl_sim.analysis.metrics import (
    COST_TO,
    COSTS,
    FINAL,
    TIME_TO,
    TO_TARGET,
    beginning_of,
    goal_of,
    order_of,
    text_of,
)
from afl_sim.analysis.replications import Group, paired_runs, pairs
from afl_sim.analysis.statistics import Interval, median_time, share_interval, student_interval
from afl_sim.recording import Run

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[Hashable, Any]


_COLUMNS: Final = (
    "measure",
    "a",
    "b",
    "n",
    "difference",
    "low",
    "high",
    "reached_a",
    "reached_b",
    "sentence",
)


def intervals(
    members: Sequence[Group], measures: Sequence[str], measured: Measured | None = None
) -> pd.DataFrame:
    """One row per setting and measure: ``setting, measure, runs, complete, n, mean, low,
    high, median, asked``.

    Runs that did not come to their end count in ``runs`` and give no value, but for those that
    diverged: what they had not reached by then they never will. Of a time to a target ``n`` is the
    number of runs that reached it. Unless all did, there is no mean: the mean of the others would
    be of the lucky ones. ``median`` counts what was not reached as later than all.
    ``asked`` tells a target that no run reached from one that no run had.
    """
    import pandas as pd

    measured = measured or measure_all(run for group in members for run in group.runs)
    rows = []
    for name in measures:
        for group in members:
            found = [(run, measured[run.path]) for run in group.runs]
            row: dict[str, Any] = {
                "setting": group.label,
                "measure": name,
                "runs": len(group.runs),
                "complete": sum(run.status == "complete" for run in group.runs),
            }
            if name.startswith(TO_TARGET):
                ended = [values for run, values in found if has_ended(run)]
                row |= _of_times([values[name] for values in ended if name in values])
            else:
                whole = [values.get(name) for run, values in found if run.status == "complete"]
                known = [float(value) for value in whole if value is not None]
                row |= _of_values(known, measure_of(name).is_share)
            rows.append(row)
    return pd.DataFrame(rows)


def interval_cell(row: Row) -> str:
    """One row of `intervals` as a table shows it."""
    measure = measure_of(row["measure"])
    if measure.whole and row["runs"] > 1:  # the mean of whole numbers is not one
        measure = replace(measure, form="{:,.1f}")
    reach = row["measure"].startswith(TO_TARGET)
    n, runs = int(row["n"]), int(row["runs"])
    if not n:
        return "not reached" if reach and row["asked"] else "-"
    if not math.isnan(row["mean"]):
        text = measure.text(row["mean"])
        if not math.isnan(row["low"]):
            text += f" [{measure.text(row['low'])}, {measure.text(row['high'])}]"
        return text if n == runs else f"{text} ({n} of {runs})"
    if math.isnan(row["median"]):
        return f"reached in {n} of {runs}"
    return f"median {measure.text(row['median'])} (reached in {n} of {runs})"


def differences(members: Sequence[Group], measured: Measured | None = None) -> pd.DataFrame:
    """Paired differences between settings, on the seeds that they share.

    Columns: ``measure``, ``a``, ``b``, ``n`` (pairs), ``difference`` (of a less b; shares in 0 to
    1), ``low``, ``high`` (Student, 95 %; missing for one pair), ``reached_a``, ``reached_b``
    (of times to a target) and ``sentence``. A time that one of the runs did not reach leaves no
    difference of means.
    """
    import pandas as pd

    measured = measured or measure_all(run for group in members for run in group.runs)
    rows = []
    for a, b in pairs(members):
        both = paired_runs(a, b)
        values = [(measured[one.path], measured[other.path]) for one, other in both]
        shared = {name for one, other in values for name in one if name in other}
        for name in sorted((name for name in shared if name.startswith(TO_TARGET)), key=order_of):
            times = [
                (x[name], y[name])
                for (x, y), members in zip(values, both, strict=True)
                if name in x and name in y and all(map(has_ended, members))
            ]
            if times:
                rows.append(_time_difference(a, b, name, times))
        for name, wording in _wordings(both, shared).items():
            known = [
                (one[name], other[name])
                for (one, other), members in zip(values, both, strict=True)
                if None not in (one.get(name), other.get(name)) and _complete(members)
            ]
            if known:
                rows.append(_difference(a, b, name, known, wording))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def sentences(found: pd.DataFrame) -> list[str]:
    """The sentences of `differences` on times to a target and metrics at the end, one line each.

    Without either (timing only) what they say of virtual time. What is the same in every pair, such
    as the end of runs that all stop at one time, is not worth a line.
    """
    found = found[~((found["low"] == 0) & (found["high"] == 0))]
    # How often a target is reached is said once, with the times.
    told = ~(found["measure"].str.startswith(COST_TO) & found["difference"].isna())
    chosen = found["measure"].str.startswith((*TO_TARGET, FINAL)) & told
    if not chosen.any():
        chosen = found["measure"] == "virtual_seconds"
    sentences: list[str] = found.loc[chosen, "sentence"].tolist()
    return sentences


def _complete(members: tuple[Run, Run]) -> bool:
    return all(run.status == "complete" for run in members)


def _of_values(values: Sequence[float], are_shares: bool) -> dict[str, Any]:
    interval = (share_interval if are_shares else student_interval)(values)
    return {**_ends(interval), "median": math.nan, "asked": bool(values)}


def _of_times(times: Sequence[float | None]) -> dict[str, Any]:
    reached = [time for time in times if time is not None]
    interval = student_interval(reached if len(reached) == len(times) else [])
    median = median_time(times)
    return {
        **_ends(interval),
        "n": len(reached),
        "median": math.nan if median is None else median,
        "asked": bool(times),
    }


def _ends(interval: Interval) -> dict[str, Any]:
    return {"n": interval.n, "mean": interval.mean, "low": interval.low, "high": interval.high}


def _row(a: Group, b: Group, name: str, interval: Interval, sentence: str) -> dict[str, Any]:
    return {
        "measure": name,
        "a": a.label,
        "b": b.label,
        "n": interval.n,
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "sentence": sentence,
    }


def _wordings(both: Sequence[tuple[Run, Run]], shared: set[str]) -> dict[str, Wording]:
    """The words for each measure whose differences are told; metrics come after accuracy."""
    accuracy, *others = WORDINGS
    better = {metric: way for pair in both for run in pair for metric, way in run.better.items()}
    metrics = {
        f"{FINAL}{metric}": of_metric(metric, way)
        for metric, way in better.items()
        if f"{FINAL}{metric}" in shared and f"{FINAL}{metric}" != accuracy
    }
    return {accuracy: WORDINGS[accuracy], **metrics} | {name: WORDINGS[name] for name in others}


def _difference(
    a: Group, b: Group, name: str, known: Sequence[tuple[float, float]], wording: Wording
) -> dict[str, Any]:
    interval = student_interval([float(one) - float(other) for one, other in known])
    return _row(a, b, name, interval, say(wording, a.label, b.label, interval))


def _time_difference(
    a: Group, b: Group, name: str, times: Sequence[tuple[float | None, float | None]]
) -> dict[str, Any]:
    target = text_of(goal_of(name))
    reached = [sum(time is not None for time in column) for column in zip(*times, strict=True)]
    known = [(one, other) for one, other in times if one is not None and other is not None]
    if len(known) == len(times):
        interval = student_interval([one - other for one, other in known])
        wording = of_target(name, target)
        sentence = say(wording, a.label, b.label, interval)
    else:
        interval = Interval(math.nan, math.nan, math.nan, len(times))
        first = (
            "is first"
            if beginning_of(name) == TIME_TO
            else f"uses less {COSTS[beginning_of(name).removesuffix('_to_')][0]}"
        )
        sentence = in_part(a.label, b.label, target, times, reached, first)
    row = _row(a, b, name, interval, sentence)
    return {**row, "reached_a": reached[0], "reached_b": reached[1]}
