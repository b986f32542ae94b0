"""Learning curves of a run, and their mean or median over replications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from afl_sim.recording import Run
from analysis.series import bytes_until
from analysis.statistics import student_interval

if TYPE_CHECKING:
    import numpy.typing as npt

AXES: Final = {
    "time": "virtual time (s)",
    "versions": "versions",
    "samples": "samples trained",
    "bytes": "bytes transferred (MB)",
}
"""What a learning curve can be drawn against, with its label."""

POINTS: Final = 200


@dataclass(frozen=True)
class Curve:
    """Values over an axis, with an interval over replications where there are several.

    Attributes:
        x, y: shape (points,).
        low, high: ends of Student's 95 % interval of a mean, or the quartiles about a median; None
            for a single run.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64] | None = None
    high: npt.NDArray[np.float64] | None = None


def along(run: Run, axis: str) -> npt.NDArray[np.float64]:
    """Where the run's evaluations lie on one of `AXES`; bytes are in megabytes of 10^6."""
    metrics = run.evaluations
    seconds = metrics["time_us"].to_numpy(dtype="float64") / 1e6
    if axis == "time":
        return seconds
    if axis == "bytes":
        return bytes_until(run, seconds) / 1e6
    column = {"versions": "version", "samples": "samples"}[axis]
    return metrics[column].to_numpy(dtype="float64")


def curve_of(run: Run, axis: str, value: str) -> Curve:
    """One run's evaluations along one of `AXES`.

    Args:
        value: ``accuracy`` (drawn in %), ``loss`` or ``squared_gradient_norm``.
    """
    y = run.evaluations[value].to_numpy(dtype="float64")
    return Curve(along(run, axis), 100 * y if value == "accuracy" else y)


def mean_curve(runs: Sequence[Run], axis: str, value: str) -> Curve:
    """The mean over replications with its interval; a single run's curve as it is.

    Between evaluations a run keeps the value of the last one. The curve ends where the first of
    the runs does, so that it is everywhere a mean of all.
    """
    return mean_of([curve_of(run, axis, value) for run in runs])


def mean_of(curves: Sequence[Curve]) -> Curve:
    """The mean of curves as `mean_curve` takes it."""
    if len(curves) == 1:
        return curves[0]
    x, values = _together(curves)
    found = [student_interval(row.tolist()) for row in values]
    return Curve(
        x,
        np.array([interval.mean for interval in found]),
        np.array([interval.low for interval in found]),
        np.array([interval.high for interval in found]),
    )


def median_curve(runs: Sequence[Run], axis: str, value: str) -> Curve:
    """The median over replications with its quartiles; a single run's curve as it is.

    Values are held and the curve ends as in `mean_curve`.
    """
    curves = [curve_of(run, axis, value) for run in runs]
    if len(curves) == 1:
        return curves[0]
    x, values = _together(curves)
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=1)
    return Curve(x, middle, low, high)


def _together(
    curves: Sequence[Curve],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Places along the axis that all curves cover, and their values there, (places, curves)."""
    begin = max(float(curve.x[0]) for curve in curves)
    end = min(float(curve.x[-1]) for curve in curves)
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    x = x[(x >= begin) & (x <= end)]
    if len(x) > POINTS:
        x = np.linspace(begin, end, POINTS)
    return x, np.stack([held(curve.x, curve.y, x) for curve in curves], axis=1)


def held(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], at: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The last value at or before each place; the first value before all of them."""
    return y[np.maximum(np.searchsorted(x, at, side="right") - 1, 0)]
