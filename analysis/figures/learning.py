"""Metrics and loss against their cost: time, versions, samples, bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import font_manager

from afl_sim.analysis.curves import curve_of, mean_curve
from afl_sim.analysis.figures.lines import PLACES, draw_curve, key_fewer, name_fewer
from afl_sim.analysis.figures.panels import fit, progress
from afl_sim.analysis.metrics import (
    ACCURACY,
    has_main_metric,
    has_metric,
    is_share,
    label_of,
    times_to_targets,
)
from afl_sim.analysis.replications import Group
from afl_sim.analysis.theme import (
    Look,
    Style,
    label_legend,
    look_of,
    note_left_out,
    themed,
)
from afl_sim.analysis.usable import usable
from afl_sim.analysis.view import View, along_of
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LACKING = "no evaluations (timing only)"
_COSTS = ("time", "versions", "samples", "bytes")


def has_accuracy(run: Run) -> bool:
    """Whether a run has an evaluation with an accuracy."""
    return has_metric(run, ACCURACY)


def lacking(runs: Sequence[Run], metric: str) -> str:
    """Why runs have no value of a metric, in words."""
    if any(run.better and metric not in run.better for run in runs):
        return f"{metric} is not measured"
    return LACKING


def accuracy(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """One line per setting: test accuracy (%) against virtual time (s), or what the view names.

    Over replications the line is their mean and the band Student's 95 % interval. Where some of the
    replications have ended, or have no number, a lighter line without a band is the mean of the
    others, labelled with their number. The targets of the scenarios are light lines; a larger mark
    shows where a single run first met one. A cross ends a run that diverged.

    Raises:
        CannotDraw: no run has evaluations.
    """
    shown, others = usable(runs, has_accuracy, lacking(runs, ACCURACY))
    x = along_of(view)
    with themed(style) as chosen:
        figure = chosen.new_figure(chosen.height)
        axes = figure.subplots()
        lowest = 100.0
        for group in shown:
            look = look_of(group, chosen)
            curve = mean_curve(group.runs, x, "accuracy")
            draw_curve(axes, curve, look, chosen)
            lowest = min(lowest, curve.lowest)
            if len(group.runs) == 1:
                _mark_targets(axes, group.first, x, ACCURACY, look, chosen)
        _mark_diverged(axes, shown, x, "accuracy", chosen)
        _say_if_empty(axes, x, chosen)
        progress(axes, x)
        axes.margins(x=0.02)
        axes.set_ylim(0 if lowest < 40 else math.floor(lowest / 10) * 10, 101)
        fit(axes, view, from_zero=True)
        targets = sorted({t for group in shown for run in group.runs for t in run.targets})
        _draw_targets(axes, targets, 0.7 * chosen.height, chosen)
        axes.set_ylabel("accuracy (%)")
        key_fewer(axes, chosen)
        label_legend(figure, axes, chosen)
        name_fewer(figure, [axes], chosen, PLACES[x])
    note_left_out(figure, others)
    return figure


def learning(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """The main metric above and loss below, against virtual time, versions, samples and bytes.

    If the view names one of these, or updates, the two panels are against that alone.

    The main metric is accuracy (%), unless the scenario or the form of the labels names another.
    Over replications the lines are means, the bands Student's 95 % intervals. Where some of the
    replications have no value, a lighter line is the mean of the others. A cross ends a run that
    diverged.

    Raises:
        CannotDraw: no run has evaluations.
    """
    metric = next((run.main_metric for run in runs if run.better), ACCURACY)
    shown, others = usable(runs, lambda run: has_metric(run, metric), lacking(runs, metric))
    names = label_of(metric), "loss"
    along = _COSTS if view is None or view.x is None else (view.x,)
    alone = len(along) == 1
    with themed(style) as chosen:
        tall = chosen.is_narrow or alone
        rows, columns = (len(along), 2) if tall else (2, len(along))
        height = 0.6 * len(along) if tall else 1.15
        if alone and chosen.is_narrow:
            rows, columns, height = 2, 1, 1.6
        figure = chosen.new_figure(chosen.height * max(height, 0.7))
        panels = figure.subplots(
            rows, columns, sharey=False if alone else "col" if tall else "row", squeeze=False
        )
        grid = panels.reshape(1, 2) if alone else panels if tall else panels.T
        for axis, pair in zip(along, grid, strict=True):
            for axes, value in zip(pair, (metric, "loss"), strict=True):
                for group in shown:
                    curve = mean_curve(group.runs, axis, value)
                    draw_curve(axes, curve, look_of(group, chosen), chosen, 0.8)
                _mark_diverged(axes, shown, axis, value, chosen)
                _say_if_empty(axes, axis, chosen)
                progress(axes, axis, 5 if alone else 3)
                _limit(axes, value)
                fit(axes, view, from_zero=True)
                axes.xaxis.label.set_size("small")
                axes.tick_params(labelsize="small")
        for pair in grid if tall or alone else grid[:1]:
            for axes, name in zip(pair, names, strict=True):
                axes.set_ylabel(name)
        first = grid[0][0]
        key_fewer(first, chosen)
        label_legend(figure, first, chosen)
        name_fewer(figure, [first], chosen, PLACES[along[0]])
    note_left_out(figure, others)
    return figure


def metrics(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """A panel per metric: a line per setting against virtual time (s), or what the view names.

    Shares are in percent. Over replications the lines are means, the bands Student's 95 %
    intervals, as in `accuracy`. A larger mark shows where a single run first met a target.

    Raises:
        CannotDraw: no run has evaluations of more than accuracy, for which there is a figure.
    """
    shown, others = usable(runs, _has_more_than_accuracy, "no evaluations of more than accuracy")
    names = list(dict.fromkeys(name for g in shown for run in g.runs for name in run.better))
    x = along_of(view)
    with themed(style) as chosen:
        columns = 1 if chosen.is_narrow else min(3, len(names))
        rows = math.ceil(len(names) / columns)
        figure = chosen.new_figure(0.5 + chosen.height * (0.75 if columns > 1 else 1) * rows)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        for axes, name in zip(panels, names, strict=False):
            for group in shown:
                having = [run for run in group.runs if has_metric(run, name)]
                look = look_of(group, chosen)
                draw_curve(axes, mean_curve(having or group.runs, x, name), look, chosen)
                if len(having) == 1:
                    _mark_targets(axes, having[0], x, name, look, chosen)
            _mark_diverged(axes, shown, x, name, chosen)
            progress(axes, x, 4)
            _limit(axes, name)
            fit(axes, view, from_zero=True)
            axes.set_ylabel(label_of(name))
        first = panels[0]
        key_fewer(first, chosen)
        label_legend(figure, first, chosen)
        name_fewer(figure, [first], chosen, PLACES[x])
    note_left_out(figure, others)
    return figure


def _has_more_than_accuracy(run: Run) -> bool:
    return has_main_metric(run) and any(name != ACCURACY for name in run.better)


def _limit(axes: Axes, value: str) -> None:
    """Limits of the axis of values: of shares all, of losses and errors from 0 on."""
    if is_share(value):
        axes.set_ylim(0, 101)
    elif value == "loss" or axes.dataLim.y0 >= 0:
        axes.set_ylim(0, None)


def _mark_targets(axes: Axes, run: Run, x: str, metric: str, look: Look, style: Style) -> None:
    evaluations = run.metrics
    curve = curve_of(run, x, metric)
    if not len(curve.x):
        return
    for name, target in times_to_targets(run):
        if name != metric or metric not in evaluations:
            continue
        values = evaluations[metric]
        lower = run.better.get(metric) == "lower"
        met = np.flatnonzero(values <= target if lower else values >= target)[:1]
        axes.plot(
            curve.x[met],
            curve.y[met],
            look.marker,
            color=look.color,
            markersize=6.5 * style.stroke,
            markeredgecolor=style.colors.ink,
            markeredgewidth=0.9,
            zorder=4,
        )


def _say_if_empty(axes: Axes, along: str, style: Style) -> None:
    """Write why a panel has no line: its runs lack this axis, or have no number."""
    values = [np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()]
    if not any(np.isfinite(each).any() for each in values):
        lacking = "no events yet" if along == "bytes" else f"no {along} counted"
        text = "no numbers" if any(map(len, values)) else lacking
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=style.colors.faint)


def _mark_diverged(axes: Axes, shown: Sequence[Group], axis: str, value: str, style: Style) -> None:
    """A cross at the last number of every run that diverged."""
    label = "diverged"
    for group in shown:
        for run in group.runs:
            if run.status != "diverged":
                continue
            curve = curve_of(run, axis, value)
            last = np.flatnonzero(np.isfinite(curve.y))[-1:]
            axes.plot(
                curve.x[last],
                curve.y[last],
                "X",
                label=label,
                linestyle="",
                color=style.colors.lost,
                markersize=6.5 * style.stroke,
                markeredgecolor=style.colors.page,
                markeredgewidth=0.6,
                zorder=5,
            )
            label = "_"


def _draw_targets(axes: Axes, targets: Sequence[float], height: float, style: Style) -> None:
    """Light lines, each named at the right-hand edge; names too close are pushed up.

    Args:
        height: of the axes, about, in inches.
    """
    points = font_manager.FontProperties(size="small").get_size_in_points()
    low, high = axes.get_ylim()
    targets = [target for target in targets if low <= 100 * target <= high]
    share = axes.transScale + axes.transLimits  # of the height of the axes, on any scale
    line = 1.25 * points / 72 / height
    place = -math.inf
    faint = style.colors.faint
    for target in targets:
        axes.axhline(100 * target, color=faint, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        place = max(float(share.transform((1.0, 100 * target))[1]), place + line)
        axes.annotate(
            f"{100 * target:g} %",
            (1, place),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=faint,
            annotation_clip=False,
        )
