"""Learning curves of a run, and their mean or median over replications."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from afl_sim.analysis.measures import has_events
from afl_sim.analysis.metrics import is_share, scale_of
from afl_sim.analysis.series import bytes_until
from afl_sim.analysis.statistics import share_interval, student_interval
from afl_sim.recording import Run

if TYPE_CHECKING:
    import numpy.typing as npt

AXES: Final = {
    "time": "virtual time (s)",
    "versions": "versions",
    "updates": "updates aggregated",
    "samples": "samples trained",
    "bytes": "bytes transferred (MB)",
    "energy": "energy used (kJ)",
    "price": "price",
    "carbon": "carbon dioxide (g)",
}
"""What a learning curve can be drawn against, with its label."""

_COLUMNS: Final = {
    "versions": ("version", 1.0),
    "updates": ("updates", 1.0),
    "samples": ("samples", 1.0),
    "energy": ("energy_joules", 1000.0),
    "price": ("price", 1.0),
    "carbon": ("carbon_grams", 1.0),
}
"""The column of an axis in a run's evaluations, and its unit."""

POINTS: Final = 200


@dataclass(frozen=True)
class Stretch:
    """A part of an axis on which only some of the replications have a value.

    Attributes:
        x, y: shape (points,); y is taken over those that have a value.
        runs: how many they are.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    runs: int


@dataclass(frozen=True)
class Curve:
    """Values over an axis, with an interval over replications where there are several.

    Attributes:
        x, y: shape (points,), where all replications have a value; NaN marks a gap.
        low, high: ends of Student's 95 % interval of a mean, or the quartiles about a median; None
            for a single run.
        runs: how many replications there are.
        fewer: where only some of them have a value, in order.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64] | None = None
    high: npt.NDArray[np.float64] | None = None
    runs: int = 1
    fewer: tuple[Stretch, ...] = ()

    @property
    def lowest(self) -> float:
        """The smallest value anywhere; NaN where there is none."""
        values = np.concatenate([self.y, *(stretch.y for stretch in self.fewer)])
        return float(np.nanmin(values)) if np.isfinite(values).any() else float("nan")

    def scaled(self, factor: float) -> Curve:
        """The curve with its x values multiplied."""
        fewer = tuple(replace(stretch, x=factor * stretch.x) for stretch in self.fewer)
        return replace(self, x=factor * self.x, fewer=fewer)


def along(run: Run, axis: str) -> npt.NDArray[np.float64]:
    """Where the run's evaluations lie on one of `AXES`; bytes are in megabytes of 10^6.

    See `has_axis`: without it there is nothing to give.
    """
    metrics = run.metrics
    seconds: npt.NDArray[np.float64] = metrics["time_us"].to_numpy(dtype="float64") / 1e6
    if axis == "time":
        return seconds
    if axis == "bytes":
        return bytes_until(run, seconds) / 1e6
    column, unit = _COLUMNS[axis]
    reached: npt.NDArray[np.float64] = metrics[column].to_numpy(dtype="float64") / unit
    return reached


def has_axis(run: Run, axis: str) -> bool:
    """Whether it is known where the run's evaluations lie on one of `AXES`.

    Bytes are in the events, which a run in progress may not have left yet. Energy, price and carbon
    are not counted in every run.
    """
    if axis == "bytes":
        return has_events(run)
    return axis not in _COLUMNS or _COLUMNS[axis][0] in run.metrics


def curve_of(run: Run, axis: str, value: str) -> Curve:
    """One run's evaluations along one of `AXES`; NaN where an evaluation has no number.

    It has no points along an axis that the run does not have (`has_axis`).

    Args:
        value: a metric (shares are drawn in %), ``loss`` or ``squared_gradient_norm``.
    """
    if not has_axis(run, axis):
        return Curve(np.empty(0), np.empty(0))
    if value not in run.metrics:  # the run does not measure it
        return Curve(along(run, axis), np.full(len(run.metrics), np.nan))
    y = run.metrics[value].to_numpy(dtype="float64")
    y = np.where(np.isfinite(y), y, np.nan)
    return Curve(along(run, axis), scale_of(value) * y if is_share(value) else y)


def mean_curve(runs: Sequence[Run], axis: str, value: str) -> Curve:
    """The mean over replications with its interval; a single run's curve as it is.

    Between evaluations a run keeps the value of the last one. A run has no value before its first
    evaluation, after its last one, and from an evaluation without a number to the next with one.
    Where that is so the mean of the others is in `Curve.fewer`. It has no interval there, because
    the remaining seeds are not a random sample.
    """
    return mean_of([curve_of(run, axis, value) for run in runs], is_share(value))


def mean_of(curves: Sequence[Curve], in_percent: bool = False) -> Curve:
    """The mean of curves as `mean_curve` takes it.

    Args:
        curves: of the replications.
        in_percent: whether the values are shares in percent, whose interval stays within 0 and 100.
    """

    def with_interval(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if in_percent:
            found = [share_interval((row / 100).tolist()) for row in values]
        else:
            found = [student_interval(row.tolist()) for row in values]
        ends = np.array([(one.low, one.mean, one.high) for one in found]).reshape(-1, 3).T
        return 100 * ends if in_percent else ends

    return _over(curves, with_interval)


def median_curve(runs: Sequence[Run], axis: str, value: str) -> Curve:
    """The median over replications with its quartiles; a single run's curve as it is.

    A run has a value where it has one for `mean_curve`.
    """
    return _over(
        [curve_of(run, axis, value) for run in runs],
        lambda values: np.quantile(values, (0.25, 0.5, 0.75), axis=1),
    )


def split_at(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    ends: Sequence[float] | npt.NDArray[np.float64],
) -> Curve:
    """A line through values pooled over replications, split where the first of them ends.

    Args:
        ends: where each replication ends; y at an x is of those that end there or later.
    """
    has = np.asarray(ends, dtype=float)[None, :] >= x[:, None]
    where = _stretches(has)
    counts = [int(has[part].all(axis=0).sum()) for part in where]
    whole = [part for part, count in zip(where, counts, strict=True) if count == len(ends)]
    fewer = [
        Stretch(x[part], y[part], count)
        for part, count in zip(where, counts, strict=True)
        if count < len(ends)
    ]
    full = whole[0] if whole else slice(0)
    return Curve(x[full], y[full], runs=len(ends), fewer=tuple(fewer))


def _over(
    curves: Sequence[Curve],
    summary: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> Curve:
    """Several curves as one.

    Args:
        summary: from values, shape (places, curves), to lower end, middle and upper end, shape
            (3, places).
    """
    if len(curves) == 1:
        return curves[0]
    x = _places(curves)
    values = np.stack([_known(curve, x) for curve in curves], axis=1)
    has = ~np.isnan(values)
    pieces, fewer = [], []
    for where in _stretches(has):
        those = has[where].all(axis=0)
        part = summary(values[where][:, those])
        if those.all():
            pieces.append(np.vstack([x[where], part]))
        else:
            fewer.append(Stretch(x[where], part[1], int(those.sum())))
    gap = np.array([[np.nan]] * 4)
    joined = [piece for each in pieces for piece in (gap, each)][1:]
    x, low, middle, high = np.hstack(joined) if joined else np.empty((4, 0))
    return Curve(x, middle, low, high, len(curves), tuple(fewer))


def _places(curves: Sequence[Curve]) -> npt.NDArray[np.float64]:
    """Places where some curve has a value; of very many, evenly spread ones and the ends."""
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    if len(x) <= POINTS:
        return x
    ends = [curve.x[at] for curve in curves for at in (0, -1) if len(curve.x)]
    return np.unique(np.concatenate([np.linspace(x[0], x[-1], POINTS), ends]))


def _known(curve: Curve, at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A curve's held values; NaN before its first place and after its last."""
    if not len(curve.x):
        return np.full(len(at), np.nan)
    outside = (at < curve.x[0]) | (at > curve.x[-1])
    return np.where(outside, np.nan, held(curve.x, curve.y, at))


def _stretches(has: npt.NDArray[np.bool_]) -> list[slice]:
    """Where the same curves have a value, as slices of places.

    A stretch goes on to the next place on either side if its curves have a value there too, so
    that the end of one curve leaves no hole in the others.

    Args:
        has: which curves have a value, shape (places, curves).
    """
    changes = np.flatnonzero((has[1:] != has[:-1]).any(axis=1)) + 1
    edges = [0, *changes.tolist(), len(has)]
    found = []
    for begin, end in itertools.pairwise(edges):
        those = has[begin]
        if not those.any():
            continue
        before = begin > 0 and has[begin - 1][those].all()
        after = end < len(has) and has[end][those].all()
        found.append(slice(begin - before, end + after))
    return found


def held(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], at: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The last value at or before each place; the first value before all of them."""
    return y[np.maximum(np.searchsorted(x, at, side="right") - 1, 0)]
