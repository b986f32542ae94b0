"""Measured and reported numbers: the statistic of each row, its interval, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from afl_sim.papers.results import Results, Values
from afl_sim.papers.target import Target
from afl_sim.papers.words import Missed, Table, Tolerance


@dataclass(frozen=True)
class Judged:
    """One row of a table.

    Attributes:
        quantity, row: which.
        reported: the published number; None for a row that is measured only.
        confirmed: whether that was read in a source.
        measured: the mean or median over replications; None where it was not run, or not reached.
        low, high: the ends of its interval, where there is one.
        n: replications.
        reached: replications that gave a value.
        deviation: measured - reported.
        within: whether that is within the tolerance; None where there is nothing to judge.
        superseded: whether another table's verdict on the reported number counts instead; False
            while that table's row has not been run.
        missed: the cause that the target names, for a row that is not within.
    """

    quantity: str
    row: str
    reported: float | None
    confirmed: bool
    measured: float | None
    low: float | None
    high: float | None
    n: int
    reached: int
    deviation: float | None
    within: bool | None
    superseded: bool
    missed: Missed | None


@dataclass(frozen=True)
class Borne:
    """One claim: the number of replications in which it holds, and the number of all."""

    quantity: str
    says: str
    holds: int
    n: int


def judged(target: Target, results: Results) -> list[Judged]:
    """All rows that this scale can measure, in the target's order."""
    return [
        _judge(
            table,
            row,
            results.tables.get(quantity, {}).get(row, []),
            _successor(table, row, results),
        )
        for quantity, table in target.tables.items()
        if results.scale == "full" or table.at_small
        for row in table.rows
    ]


def borne(target: Target, results: Results) -> list[Borne]:
    """Every claim that this scale can show, in the target's order."""
    return [
        Borne(quantity, claim.says, sum(truths), len(truths))
        for quantity, claim in target.claims.items()
        if results.scale == "full" or claim.at_small
        for truths in [results.claims.get(quantity, [])]
    ]


def _successor(table: Table, row: str, results: Results) -> bool:
    """Whether another table judges the number of this row, and its study was run."""
    if table.superseded is None or row not in table.superseded_rows():
        return False
    return bool(results.tables.get(table.superseded.by, {}).get(row))


def _judge(table: Table, row: str, values: Values, superseded: bool) -> Judged:
    reported, tolerance = table.rows[row].reported, table.tolerance_of(row)
    measured, low, high = _statistic(table, values)
    known = [value for value in values if value is not None]
    deviation = within = None
    if reported is not None and tolerance is not None and values:
        if measured is not None:
            deviation = measured - reported
            same = table.format.format(measured) == table.format.format(reported)
            within = same or _is_near(tolerance, reported, deviation, known)
        else:
            within = False  # what was reported was not reached
    return Judged(
        table.quantity,
        row,
        reported,
        table.rows[row].confirmed,
        measured,
        low,
        high,
        len(values),
        len(known),
        deviation,
        within,
        superseded,
        table.missed.get(row) if within is False else None,
    )


def _statistic(table: Table, values: Values) -> tuple[float | None, float | None, float | None]:
    from afl_sim.analysis.statistics import median_time, quartiles, student_interval

    if table.statistic == "median":
        low, high = quartiles(values) if len(values) > 1 else (None, None)
        return median_time(values), low, high
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, None, None  # the mean of the others would be of the lucky ones
    interval = student_interval(known)
    return interval.mean, _finite(interval.low), _finite(interval.high)


def _is_near(
    tolerance: Tolerance, reported: float, deviation: float, values: Sequence[float]
) -> bool | None:
    from afl_sim.analysis.statistics import prediction_interval

    if tolerance.spread is not None:
        if len(values) < 2:
            return None
        interval = prediction_interval(values)
        return interval.low <= reported <= interval.high
    if tolerance.relative is not None:
        return abs(deviation) <= tolerance.relative * abs(reported)
    assert tolerance.absolute is not None
    return abs(deviation) <= tolerance.absolute


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
