"""The Pareto front of a study: how soon each setting is done, and what it has used by then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from afl_sim.analysis.figures.panels import fit
from afl_sim.analysis.figures.study import ended
from afl_sim.analysis.intervals import intervals
from afl_sim.analysis.measures import Measured, measure_all, measure_of
from afl_sim.analysis.metrics import TIME_TO, column_of, goal_of
from afl_sim.analysis.replications import Group, drawable, named
from afl_sim.analysis.theme import Style, label_legend, look_of, note, note_left_out, themed
from afl_sim.analysis.usable import CannotDraw
from afl_sim.analysis.view import View
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLOCKS: Final = {"energy": "energy_joules", "price": "price", "carbon": "carbon_grams"}
"""What can be drawn beside the time, by the name of the axis."""


def pareto(
    runs: Sequence[Run],
    *,
    style: str | Style = "paper",
    measured: Measured | None = None,
    view: View | None = None,
) -> Figure:
    """A point per setting: time to a target against the energy, price or carbon used until then.

    The target is the hardest that the runs of two settings reached, of the main metric if it has
    such a target. Runs without a common target,
    such as those that train nothing, are compared by the time and the total at their end. Bars are
    Student's 95 % intervals over replications. The line joins the settings that no other one beats
    in both.

    Args:
        measured: what `measure_all` has found of the runs, if that is known already.

    Raises:
        CannotDraw: nothing of it is counted, or there are fewer than two settings to compare.
    """
    shown, others = ended(runs)
    block = _block(runs, view)
    everyone = [run for group in shown for run in group.runs]
    known = measured or measure_all(everyone)
    x_name, y_name = _measures(shown, known, block)
    rows = intervals(shown, [x_name, y_name], {run.path: known[run.path] for run in everyone})
    x, y = (_ends(rows, name) for name in (x_name, y_name))
    there = ~np.isnan(x[1] + y[1])
    if there.sum() < 2:
        raise CannotDraw("fewer than two settings have a value")
    with themed(style) as chosen:
        figure = chosen.new_figure(chosen.height)
        axes = figure.subplots()
        for place in np.flatnonzero(there):
            look = look_of(shown[place], chosen)
            axes.errorbar(
                x[1, place],
                y[1, place],
                xerr=_bar(x[:, place]),
                yerr=_bar(y[:, place]),
                marker=look.marker,
                color=look.color,
                markersize=6.5 * chosen.stroke,
                elinewidth=1.1 * chosen.stroke,
                linestyle="",
                label=look.label,
                zorder=3,
            )
        best = front(x[1], y[1])
        axes.plot(x[1, best], y[1, best], color=chosen.colors.faint, zorder=1, linewidth=1.2)
        axes.set(xlabel=measure_of(x_name).heading, ylabel=measure_of(y_name).heading)
        axes.margins(0.08)
        axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
        fit(axes, view, from_zero=True)
        label_legend(figure, axes, chosen)
    missing = [drawable(shown[place].label) for place in np.flatnonzero(~there)]
    if missing:
        note(figure, f"without {named(missing)}: not all runs reached the target")
    note_left_out(figure, others)
    return figure


def front(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The points that no other one beats, by x: small values are good, and NaN is no point.

    Args:
        x, y: shape (points,).

    Returns:
        Their places in order of x. Of points that are the same all are there.
    """
    best = []
    for place in np.lexsort((y, x)):
        if np.isnan(x[place] + y[place]):
            continue
        beaten = ((x <= x[place]) & (y <= y[place]) & ((x < x[place]) | (y < y[place]))).any()
        if not beaten:
            best.append(place)
    return np.array(best, dtype=np.int64)


def _block(runs: Sequence[Run], view: View | None) -> str:
    """What is drawn beside the time: what the view names, or else the first that is counted."""
    asked = None if view is None else view.x
    if asked is not None and asked not in BLOCKS:
        raise CannotDraw(f"x: {asked} is not what this figure shows; expected {', '.join(BLOCKS)}")
    for axis in BLOCKS if asked is None else (asked,):
        if any(run.summary.get(BLOCKS[axis]) for run in runs):
            return BLOCKS[axis]
    raise CannotDraw(f"no {asked or 'energy, price or carbon'} is counted")


def _measures(shown: Sequence[Group], measured: Measured, block: str) -> tuple[str, str]:
    """The columns of what was used, and of the time."""
    reached: dict[str, int] = {}
    for group in shown:
        rows = [measured[run.path] for run in group.runs]
        for name in rows[0]:
            if name.startswith(TIME_TO):
                both = (name, column_of(goal_of(name), f"{block}_to_"))
                known = all(row.get(each) is not None for row in rows for each in both)
                reached[name] = reached.get(name, 0) + known
    main = next((run.main_metric for group in shown for run in group.runs if run.better), None)
    common = [name for name, n in reached.items() if n > 1]
    if not common:
        return block, "virtual_seconds"
    metrics = [goal_of(name)[0] for name in common]
    aimed_at = main if main in metrics else metrics[0]
    own = [name for name in common if goal_of(name)[0] == aimed_at]
    lower = any(run.better.get(aimed_at) == "lower" for group in shown for run in group.runs)
    hardest = sorted(own, key=lambda name: goal_of(name)[1], reverse=lower)[-1]
    return column_of(goal_of(hardest), f"{block}_to_"), hardest


def _ends(rows: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """Low, mean and high of each setting, shape (3, settings)."""
    own = rows[rows["measure"] == name]
    found: npt.NDArray[np.float64] = own[["low", "mean", "high"]].to_numpy(dtype=float).T
    return found


def _bar(ends: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """The lengths of an error bar; None without an interval."""
    low, mean, high = ends
    return None if np.isnan(low) else np.array([[mean - low], [high - mean]])
