"""Accuracy against virtual time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import seaborn as sns
from matplotlib import font_manager
from matplotlib.ticker import FuncFormatter, MaxNLocator

from afl_sim.recording import Run
from analysis.registry import usable
from analysis.theme import FAINT, INK, label_legend, looks, new_figure, note_left_out, themed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def accuracy_over_time(runs: Sequence[Run], *, size: str = "page") -> Figure:
    """One line per run: test accuracy (%) against virtual time (s).

    The targets of the scenarios are light lines; a larger mark shows where a run first met one.

    Raises:
        CannotDraw: no run has evaluations.
    """
    shown, others = usable(runs, lambda run: len(run.metrics) > 0, "no evaluations (timing only)")
    with themed(size) as chosen:
        figure = new_figure(chosen.width, chosen.height)
        axes = figure.subplots()
        targets = sorted({target for index in shown for target in runs[index].targets})
        lowest = 100.0
        for index, look in enumerate(looks(runs)):
            if index not in shown:
                continue
            metrics = runs[index].metrics
            seconds, percent = metrics["time_us"] / 1e6, metrics["accuracy"] * 100
            lowest = min(lowest, percent.min())
            sns.lineplot(
                x=seconds,
                y=percent,
                ax=axes,
                label=look.label,
                color=look.color,
                linestyle=look.line,
                marker=look.marker,
                markevery=max(1, math.ceil(len(metrics) / 25)),
                markersize=4.5 * chosen.stroke,
                markeredgewidth=0.4,
                linewidth=1.6 * chosen.stroke,
                estimator=None,
                legend=False,
            )
            for target in runs[index].targets:
                met = metrics[metrics["accuracy"] >= target].head(1)
                axes.plot(
                    met["time_us"] / 1e6,
                    met["accuracy"] * 100,
                    look.marker,
                    color=look.color,
                    markersize=6.5 * chosen.stroke,
                    markeredgecolor=INK,
                    markeredgewidth=0.9,
                    zorder=4,
                )
        axes.set_xlim(left=0)
        axes.margins(x=0.02)
        axes.set_ylim(0 if lowest < 40 else math.floor(lowest / 10) * 10, 101)
        _draw_targets(axes, targets, 0.7 * chosen.height)
        axes.set_xlabel("virtual time (s)")
        axes.set_ylabel("accuracy (%)")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        label_legend(figure, axes, chosen)
    note_left_out(figure, others, "no evaluations")
    return figure


def _draw_targets(axes: Axes, targets: Sequence[float], height: float) -> None:
    """Light lines, each named at the right-hand edge; names too close are pushed up.

    Args:
        height: of the axes, about, in inches.
    """
    points = font_manager.FontProperties(size="small").get_size_in_points()
    low, high = axes.get_ylim()
    line = 1.25 * points / 72 / height * (high - low)
    place = -math.inf
    for target in targets:
        axes.axhline(100 * target, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        place = max(100 * target, place + line)
        axes.annotate(
            f"{100 * target:g} %",
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=FAINT,
            annotation_clip=False,
        )
