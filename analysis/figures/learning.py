"""Accuracy and loss along what they cost: time, versions, samples, bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import font_manager
from matplotlib.ticker import MaxNLocator

from afl_sim.recording import Run
from analysis.curves import AXES, Curve, mean_curve
from analysis.figures.panels import PLAIN, virtual_time
from analysis.measures import times_to_accuracy
from analysis.registry import usable
from analysis.theme import Look, Style, label_legend, look_of, new_figure, note_left_out, themed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LACKING = "no evaluations (timing only)"


def has_accuracy(run: Run) -> bool:
    """Whether a run has an evaluation with a number in it."""
    return bool(run.metrics["accuracy"].notna().any())


def accuracy(runs: Sequence[Run], *, style: str = "paper") -> Figure:
    """One line per setting: test accuracy (%) against virtual time (s).

    Over replications the line is their mean, as far as all of them go, and the band Student's
    95 % interval. The targets of the scenarios are light lines; a larger mark shows where a single
    run first met one.

    Raises:
        CannotDraw: no run has evaluations.
    """
    shown, others = usable(runs, has_accuracy, LACKING)
    with themed(style) as chosen:
        figure = new_figure(chosen.width, chosen.height)
        axes = figure.subplots()
        lowest = 100.0
        for group in shown:
            look = look_of(group, chosen)
            curve = mean_curve(group.runs, "time", "accuracy")
            draw_curve(axes, curve, look, chosen)
            lowest = min(lowest, float(np.nanmin(curve.y)))
            if len(group.runs) == 1:
                _mark_targets(axes, group.first, look, chosen)
        axes.set_xlim(left=0)
        axes.margins(x=0.02)
        axes.set_ylim(0 if lowest < 40 else math.floor(lowest / 10) * 10, 101)
        targets = sorted({t for group in shown for run in group.runs for t in run.targets})
        _draw_targets(axes, targets, 0.7 * chosen.height, chosen)
        virtual_time(axes)
        axes.set_ylabel("accuracy (%)")
        label_legend(figure, axes, chosen)
    note_left_out(figure, others)
    return figure


def learning(runs: Sequence[Run], *, style: str = "paper") -> Figure:
    """Accuracy (%) above and loss below, against virtual time, versions, samples and bytes.

    Over replications the lines are means, the bands Student's 95 % intervals.

    Raises:
        CannotDraw: no run has evaluations.
    """
    shown, others = usable(runs, has_accuracy, LACKING)
    with themed(style) as chosen:
        tall = chosen.is_narrow
        rows, columns = (4, 2) if tall else (2, 4)
        figure = new_figure(chosen.width, chosen.height * (2.4 if tall else 1.15))
        panels = figure.subplots(rows, columns, sharey="col" if tall else "row")
        grid = panels if tall else panels.T
        for (axis, label), pair in zip(AXES.items(), grid, strict=True):
            for axes, value in zip(pair, ("accuracy", "loss"), strict=True):
                for group in shown:
                    curve = mean_curve(group.runs, axis, value)
                    draw_curve(axes, curve, look_of(group, chosen), chosen, 0.8)
                axes.set_xlim(left=0)
                axes.set_ylim(*((0, 101) if value == "accuracy" else (0, None)))
                axes.set_xlabel(label, fontsize="small")
                axes.xaxis.set_major_locator(MaxNLocator(3))
                axes.xaxis.set_major_formatter(PLAIN)
                axes.tick_params(labelsize="small")
        for axes, name in zip(grid[0], ("accuracy (%)", "loss"), strict=True):
            axes.set_ylabel(name)
        if tall:
            for pair in grid[1:]:
                for axes, name in zip(pair, ("accuracy (%)", "loss"), strict=True):
                    axes.set_ylabel(name)
        label_legend(figure, grid[0][0], chosen)
    note_left_out(figure, others)
    return figure


def draw_curve(axes: Axes, curve: Curve, look: Look, style: Style, scale: float = 1.0) -> None:
    """A line with marks, and its band where it has one."""
    axes.plot(
        curve.x,
        curve.y,
        label=look.label,
        color=look.color,
        linestyle=look.line,
        marker=look.marker,
        markevery=max(1, math.ceil(len(curve.x) / 25)),
        markersize=4.5 * scale * style.stroke,
        markeredgecolor=style.colors.page,
        markeredgewidth=0.4,
        linewidth=1.6 * scale * style.stroke,
    )
    draw_band(axes, curve, look.color)


def draw_band(axes: Axes, curve: Curve, color: str, alpha: float = 0.2) -> None:
    """The band of a curve, where it has one."""
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=alpha, linewidth=0)


def _mark_targets(axes: Axes, run: Run, look: Look, style: Style) -> None:
    metrics = run.metrics
    for target in times_to_accuracy(run):
        met = metrics[metrics["accuracy"] >= target].head(1)
        axes.plot(
            met["time_us"] / 1e6,
            met["accuracy"] * 100,
            look.marker,
            color=look.color,
            markersize=6.5 * style.stroke,
            markeredgecolor=style.colors.ink,
            markeredgewidth=0.9,
            zorder=4,
        )


def _draw_targets(axes: Axes, targets: Sequence[float], height: float, style: Style) -> None:
    """Light lines, each named at the right-hand edge; names too close are pushed up.

    Args:
        height: of the axes, about, in inches.
    """
    points = font_manager.FontProperties(size="small").get_size_in_points()
    low, high = axes.get_ylim()
    line = 1.25 * points / 72 / height * (high - low)
    place = -math.inf
    faint = style.colors.faint
    for target in targets:
        axes.axhline(100 * target, color=faint, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        place = max(100 * target, place + line)
        axes.annotate(
            f"{100 * target:g} %",
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=faint,
            annotation_clip=False,
        )
