"""A table for a paper: a row for each setting, chosen measures, means with the right digits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from afl_sim.analysis.measures import Measured, has_ended, measure_of
from afl_sim.analysis.metrics import (
    ACCURACY,
    COST_TO,
    COSTS,
    FINAL,
    TIME_TO,
    TO_TARGET,
    WASTED,
    WORST,
    beginning_of,
    order_of,
)
from afl_sim.analysis.replications import Group, paired_runs
from afl_sim.analysis.rounding import rounded
from afl_sim.analysis.statistics import Interval, share_interval, student_interval
from afl_sim.errors import InputError
from afl_sim.recording import Run
from afl_sim.scenario.wording import hint

SHORT: Final = {
    "time_to_accuracy": "time to every target",
    "costs_to_accuracy": "energy, price and carbon to every target",
    "final": "every metric at the end",
    "staleness": "mean_staleness",
    "idle": "idle_fraction",
    "time": "virtual_seconds",
}
"""Words for measures, besides the columns of `compare`."""

_LOWER_IS_BETTER: Final = ("mean_staleness", "max_staleness", "idle_fraction", "virtual_seconds")
_HIGHER_IS_BETTER: Final = ("steady_throughput", "steady_utilisation")


@dataclass(frozen=True)
class Entry:
    """One setting's value of one measure, in the unit of the table.

    Attributes:
        interval: over the replications.
        best: whether it is better than that of every other setting: each paired difference has
            an interval without 0.
        reached: of a time to a target, how many replications reached it; else None.
        runs: the number of replications.
    """

    interval: Interval
    best: bool = False
    reached: int | None = None
    runs: int = 0


@dataclass(frozen=True)
class Column:
    """One measure of all settings.

    Attributes:
        name: the column of `compare`.
        heading: with the unit.
        entries: one for each setting.
        until: if some runs never reached the target, the time (s) to which all times are
            restricted, or the amount to which all that is used is; else None.
    """

    name: str
    heading: str
    entries: tuple[Entry, ...]
    until: float | None = None


@dataclass(frozen=True)
class PaperTable:
    """The table.

    Attributes:
        settings: the names of the rows.
        columns: the measures in which the settings differ.
        constant: heading and value of those in which they do not.
    """

    settings: tuple[str, ...]
    columns: tuple[Column, ...]
    constant: tuple[tuple[str, str], ...]


def paper_table(members: Sequence[Group], words: Sequence[str], measured: Measured) -> PaperTable:
    """The table of some measures over the settings.

    Args:
        members: the settings with their replications.
        words: columns of `compare`, or words of `SHORT`.
        measured: of all runs.

    Raises:
        InputError: no run has such a measure.
    """
    columns, constant = [], []
    for name in _columns(words, measured):
        column = _column(name, members, measured)
        texts = {text_of(entry) for entry in column.entries}
        if len(texts) == 1 and len(members) > 1:
            constant.append((column.heading, texts.pop()))
        else:
            columns.append(column)
    return PaperTable(tuple(group.label for group in members), tuple(columns), tuple(constant))


def difference_matrix(
    members: Sequence[Group], name: str, measured: Measured
) -> list[list[Interval | None]]:
    """The paired differences of one measure: row less column, in the unit of the table.

    None on the diagonal, and for settings without a seed in common.
    """
    until = _until(members, name, measured)
    return [
        [None if one is other else _paired(one, other, name, measured, until) for other in members]
        for one in members
    ]


def text_of(entry: Entry) -> str:
    """The value as the table shows it: ``412 ± 35``, with the count if not all runs reached it."""
    return rounded(entry.interval) + count_of(entry)


def count_of(entry: Entry) -> str:
    """How many runs reached a target, as the end of a cell; empty if all did."""
    if entry.reached is None or entry.reached == entry.runs:
        return ""
    return f" ({entry.reached} of {entry.runs})"


def _columns(words: Sequence[str], measured: Measured) -> list[str]:
    known = list(dict.fromkeys(name for row in measured.values() for name in row))
    found: list[str] = []
    for word in words:
        if word == "time_to_accuracy":
            found += sorted((n for n in known if n.startswith(TIME_TO)), key=order_of)
        elif word == "costs_to_accuracy":
            found += sorted((n for n in known if n.startswith(COST_TO)), key=order_of)
        elif word == "final":
            found += [n for n in known if n.startswith(FINAL) and _has_values(n, measured)]
        elif SHORT.get(word, word) in known:
            found.append(SHORT.get(word, word))
        else:
            names = [*SHORT, *known]
            raise InputError(
                f"--measures: no run has a measure {word!r}; expected some of {', '.join(names)}"
                f"{hint(word, names)}"
            )
    return list(dict.fromkeys(found))


def _has_values(name: str, measured: Measured) -> bool:
    return any(row.get(name) is not None for row in measured.values())


def _until(members: Sequence[Group], name: str, measured: Measured) -> float | None:
    """When the first run ended that did not reach the target; None if all reached it."""
    if not name.startswith(TO_TARGET):
        return None
    ends = [
        _at_the_end(run, name)
        for group in members
        for run in group.runs
        if has_ended(run) and name in measured[run.path] and measured[run.path][name] is None
    ]
    return min(ends, default=None)


def _at_the_end(run: Run, name: str) -> float:
    """The time, or what had been used, when a run ended that did not reach the target."""
    begin = beginning_of(name)
    if begin == TIME_TO:
        return float(run.summary["virtual_seconds"])
    return float(run.summary[begin.removesuffix("_to_")]["total"])


def _value(row: Mapping[str, Any], name: str, until: float | None) -> float | None:
    value = row.get(name)
    if until is not None and name in row:
        return until if value is None else min(float(value), until)
    return None if value is None else float(value)


def _column(name: str, members: Sequence[Group], measured: Measured) -> Column:
    until = _until(members, name, measured)
    entries = [_entry(group, name, measured, until) for group in members]
    lower = _lower_is_better(name, members)
    if lower is not None and len(members) > 1:
        sign = 1.0 if lower else -1.0
        means = [sign * entry.interval.mean for entry in entries]
        known = [mean for mean in means if not math.isnan(mean)]
        first = means.index(min(known)) if known else None
        if first is not None and _beats_all(first, sign, members, name, measured, until):
            entries[first] = replace(entries[first], best=True)
    return Column(name, measure_of(name).heading, tuple(entries), until)


def _entry(group: Group, name: str, measured: Measured, until: float | None) -> Entry:
    rows = [measured[run.path] for run in group.runs if _counts(run, name)]
    values = [value for row in rows if (value := _value(row, name, until)) is not None]
    reached = None
    if name.startswith(TO_TARGET):
        reached = sum(row.get(name) is not None for row in rows)
    return Entry(_interval(name, values), reached=reached, runs=len(group.runs))


def _interval(name: str, values: Sequence[float]) -> Interval:
    return _in_unit(
        name, (share_interval if measure_of(name).is_share else student_interval)(values)
    )


def _in_unit(name: str, found: Interval) -> Interval:
    """An interval of a measure in the unit of the table: shares are in percent."""
    scale = 100.0 if measure_of(name).is_share else 1.0
    return Interval(scale * found.mean, scale * found.low, scale * found.high, found.n)


def _counts(run: Any, name: str) -> bool:
    return has_ended(run) if name.startswith(TO_TARGET) else run.status == "complete"


def _beats_all(
    first: int,
    sign: float,
    members: Sequence[Group],
    name: str,
    measured: Measured,
    until: float | None,
) -> bool:
    for place, other in enumerate(members):
        if place == first:
            continue
        found = _paired(members[first], other, name, measured, until)
        if found is None or not found.is_known:
            return False
        if max(sign * found.low, sign * found.high) >= 0:  # it may be no better
            return False
    return True


def _paired(
    one: Group, other: Group, name: str, measured: Measured, until: float | None
) -> Interval | None:
    values = []
    for a, b in paired_runs(one, other):
        if _counts(a, name) and _counts(b, name):
            x = _value(measured[a.path], name, until)
            y = _value(measured[b.path], name, until)
            if x is not None and y is not None:
                values.append(x - y)
    return _in_unit(name, student_interval(values)) if values else None


def _lower_is_better(name: str, members: Sequence[Group]) -> bool | None:
    """Whether small values are the good ones; None if neither end is."""
    if name.startswith(TO_TARGET) or name in (*_LOWER_IS_BETTER, *COSTS, WASTED):
        return True
    if name in _HIGHER_IS_BETTER:
        return False
    for prefix in (FINAL, WORST):
        if name.startswith(prefix):
            metric = name.removeprefix(prefix)
            better = {
                run.better[metric]
                for group in members
                for run in group.runs
                if metric in run.better
            }
            return "lower" in better if better else (False if metric == ACCURACY else None)
    return None
