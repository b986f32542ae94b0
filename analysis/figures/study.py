"""The effect of a study's settings on the measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from afl_sim.analysis.figures.panels import fit
from afl_sim.analysis.intervals import intervals
from afl_sim.analysis.measures import Measured, measure_all, measure_of
from afl_sim.analysis.metrics import FINAL, TIME_TO, goal_of
from afl_sim.analysis.registry import LOOKS
from afl_sim.analysis.replications import Group, drawable, groups, short_labels, short_names
from afl_sim.analysis.settings import Swept, series, swept
from afl_sim.analysis.theme import (
    LINES,
    MARKERS,
    Style,
    label_legend,
    note,
    note_left_out,
    themed,
)
from afl_sim.analysis.ticks import PLAIN
from afl_sim.analysis.usable import CannotDraw, usable
from afl_sim.analysis.view import View
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES: Final = ("steady_staleness", "steady_utilisation", "steady_throughput")
MOST_NAMES: Final = 40
LACKING: Final = "has not ended"
NO_VALUES: Final = "none of the measures has a value"


def sweep(
    runs: Sequence[Run],
    *,
    style: str | Style = "paper",
    measures: Sequence[str] | None = None,
    measured: Measured | None = None,
    view: View | None = None,
) -> Figure:
    """A panel per measure, against the setting that takes the most values.

    Lines join what differs in that setting only; bars are Student's 95 % intervals over
    replications. Without a numeric setting the groups stand side by side. A hollow point shows
    fewer than all runs, and their number: the mean of those that finished or, of a time to a
    target, the median where not all runs reached it.

    Args:
        measures: columns of `analysis.comparison`; default the time to the hardest target that a
            run reached, the final value of the main metric, staleness, utilisation and throughput
            without warm-up.
        measured: what `measure_all` has found of the runs, if that is known already.

    Raises:
        CannotDraw: there are fewer than two settings to compare.
    """
    shown, others = ended(runs)
    table = table_of(shown, measures, measured)
    names = [name for name in dict.fromkeys(table["measure"]) if is_known(table, name)]
    if not names:
        raise CannotDraw(NO_VALUES)
    along = swept(shown)[:1]
    with themed(style) as chosen:
        columns = 1 if chosen.is_narrow else min(2, len(names))
        rows = math.ceil(len(names) / columns)
        figure = chosen.new_figure(0.6 + rows * 0.62 * chosen.height)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        for axes, name in zip(panels, names, strict=False):
            rows_of = table[table["measure"] == name].reset_index(drop=True)
            if along:
                _draw_lines(axes, shown, along[0], rows_of, chosen)
            else:
                _draw_points(axes, shown, rows_of, chosen)
            axes.set_title(measure_of(name).heading)
            fit(axes, view)
        lines = len(series(shown, along)) if along else 0
        if lines > 1:
            label_legend(figure, panels[0], chosen)
        if lines > LOOKS:
            note(figure, f"the first {LOOKS} of {lines:,} lines")
    note_left_out(figure, others)
    return figure


def ended(runs: Sequence[Run]) -> tuple[list[Group], str]:
    """The settings of the runs that have ended; also which runs are left out, and why.

    Raises:
        CannotDraw: they are fewer than two.
    """
    shown, others = usable(runs, lambda run: bool(run.summary), LACKING)
    if len(shown) < 2:
        raise CannotDraw(
            f"{groups(runs)[0].label}: there is only one setting, so there is nothing to compare"
        )
    return shown, others


def table_of(
    shown: Sequence[Group], measures: Sequence[str] | None, measured: Measured | None
) -> pd.DataFrame:
    """The intervals of the measures of settings; arguments as for `sweep`."""
    runs = [run for group in shown for run in group.runs]
    known = measured or measure_all(runs)
    measured = {run.path: known[run.path] for run in runs}
    if measures is None:
        reached = {
            name
            for values in measured.values()
            for name, value in values.items()
            if name.startswith(TIME_TO) and value is not None
        }
        mains = dict.fromkeys(run.main_metric for run in runs)
        hardest = [name for metric in mains for name in _hardest(runs, metric, reached)]
        measures = [*hardest, *(f"{FINAL}{metric}" for metric in mains), *MEASURES]
    rows = [
        {**values, **{name: None for name in measures if name not in values}}
        for values in measured.values()
    ]
    return intervals(shown, measures, dict(zip(measured, rows, strict=True)))


def _hardest(runs: Sequence[Run], metric: str, reached: set[str]) -> list[str]:
    """The hardest of the targets of a metric that were reached, if there is one."""
    own = [name for name in reached if goal_of(name)[0] == metric]
    lower = any(run.better.get(metric) == "lower" for run in runs)
    return sorted(own, key=lambda name: goal_of(name)[1], reverse=lower)[-1:]


def is_known(table: pd.DataFrame, name: str) -> bool:
    """Whether a measure has a value for some setting."""
    rows = table[table["measure"] == name]
    return bool(rows["mean"].notna().any() or rows["median"].notna().any())


def scaled(rows: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """Values of rows of one measure, shares in percent."""
    share = measure_of(rows["measure"].iloc[0]).is_share
    values: npt.NDArray[np.float64] = rows[column].to_numpy(dtype=float)
    return values * (100 if share else 1)


def _draw_lines(
    axes: Axes, shown: Sequence[Group], along: Swept, rows: pd.DataFrame, style: Style
) -> None:
    x = np.array(along.values)
    palette = style.colors.palette
    lines = dict(list(series(shown, [along]).items())[:LOOKS])
    labels = map(drawable, short_labels(list(lines)))
    for index, (label, places) in enumerate(zip(labels, lines.values(), strict=True)):
        order = sorted(places, key=lambda place: x[place])
        color = palette[index % len(palette)]
        marker = MARKERS[index % len(MARKERS)]
        line = LINES[index // len(palette) % len(LINES)]
        _draw_series(axes, x[order], rows.iloc[order], color, marker, label, style, line)
    values = sorted(set(along.values))
    if len(values) > 2 and values[0] > 0 and values[-1] >= 8 * values[0]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    if len(values) <= 8:
        axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(along.name)


def _draw_points(axes: Axes, shown: Sequence[Group], rows: pd.DataFrame, style: Style) -> None:
    palette = style.colors.palette
    for index in range(len(shown)):
        color = palette[shown[index].index % len(palette)]
        marker = MARKERS[shown[index].index % len(MARKERS)]
        one = rows.iloc[[index]]
        _draw_series(axes, np.array([index]), one, color, marker, "", style, "")
    step = math.ceil(len(shown) / MOST_NAMES)
    names = short_names(shown, 14)[::step]
    crowded = len(shown) * max(map(len, names)) > 34
    axes.set_xticks(
        range(0, len(shown), step),
        names,
        rotation=35 if crowded else 0,
        ha="right" if crowded else "center",
        fontsize="small",
    )
    axes.set_xlim(-0.5, len(shown) - 0.5)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _draw_series(
    axes: Axes,
    x: np.ndarray,
    rows: pd.DataFrame,
    color: str,
    marker: str,
    label: str,
    style: Style,
    line: str,
) -> None:
    mean, median = scaled(rows, "mean"), scaled(rows, "median")
    fewer = (rows["n"] < rows["runs"]).to_numpy()
    low, high = scaled(rows, "low"), scaled(rows, "high")
    known = ~np.isnan(low)
    axes.vlines(x[known], low[known], high[known], color=color, linewidth=1.3 * style.stroke)
    look: dict[str, Any] = {"color": color, "marker": marker, "markersize": 5.5 * style.stroke}
    named: dict[str, Any] = {
        "linestyle": line,
        "linewidth": 1.5 * style.stroke,
        "label": label or None,
    }
    (drawn,) = axes.plot(x, mean, **named, **look)
    drawn.set_markevery(np.flatnonzero(~fewer & ~np.isnan(mean)).tolist())
    hollow = np.where(np.isnan(mean), median, np.where(fewer, mean, np.nan))
    axes.plot(x, hollow, linestyle="", mfc=style.colors.page, **look)
    if (~np.isnan(hollow)).any():
        axes.margins(y=0.12)  # for what is written above a point
    for place, value, n, runs in zip(x, hollow, rows["n"], rows["runs"], strict=True):
        if n < runs and not np.isnan(value):
            axes.annotate(
                f"{n} of {runs}",
                (place, value),
                xytext=(5 * style.stroke, 5 * style.stroke),
                textcoords="offset points",
                fontsize="x-small",
                color=style.colors.ink,
            )
