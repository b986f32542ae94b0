"""Staleness of the aggregated updates: its distribution, by client, and over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.ticker import MaxNLocator

from afl_sim.analysis.curves import split_at
from afl_sim.analysis.distribution import Distribution, pooled
from afl_sim.analysis.figures.lines import draw_fewer, name_fewer
from afl_sim.analysis.figures.panels import SPEED, draw_by_speed, fit, scale_seconds, virtual_time
from afl_sim.analysis.replications import Group, short_names
from afl_sim.analysis.series import (
    bins_of,
    has_computed,
    has_updates,
    mean_staleness_by_client,
    speeds_by_run,
    staleness_batches,
)
from afl_sim.analysis.tally import tally
from afl_sim.analysis.theme import (
    Look,
    Style,
    label_legend,
    look_of,
    note_left_out,
    themed,
)
from afl_sim.analysis.theory import mean_staleness
from afl_sim.analysis.usable import usable
from afl_sim.analysis.view import View
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BARS: Final = 100
SPANS: Final = 60
MOST_IN_SPAN: Final = 1 << 14  # different values that are told apart within a span
_LACKING: Final = "no aggregated updates"


def staleness(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """One panel per setting: the share of aggregated updates (%) at each staleness (versions).

    The dashed line is the mean, the dotted one what theory expects of it, where it says something
    (`afl_sim.analysis.theory`). Panels share the axis of staleness; the share's is each their own.

    Raises:
        CannotDraw: no run has aggregated an update.
    """
    shown, others = usable(runs, has_updates, _LACKING)
    values = [_pooled(group) for group in shown]
    largest = max(4, *(found.largest for found in values))
    width = math.ceil((largest + 1) / MOST_BARS)
    edges = np.arange(0, largest + 1 + width, width) - 0.5
    with themed(style) as chosen:
        figure, panels = _panels(len(shown), chosen)
        names = _titles(shown, chosen)
        for axes, group, name, found in zip(panels, shown, names, values, strict=True):
            versions, often = found.counted()
            counts = np.bincount(versions // width, weights=often, minlength=len(edges) - 1)
            axes.bar(
                edges[:-1],
                100 * counts / len(found),
                width=width,
                align="edge",
                color=look_of(group, chosen).color,
                edgecolor=chosen.colors.page,
                linewidth=0.4,
            )
            _mark(axes, found.mean, group, chosen, axes.axvline)
            _describe(axes, group, name, found, chosen)
            axes.grid(axis="x", visible=False)
            axes.yaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
        panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
        panels[-1].set_xlim(edges[0], edges[-1])
        for axes in panels:
            fit(axes, view)
        panels[-1].set_xlabel("staleness (versions" + (f", {width} a bar)" if width > 1 else ")"))
        figure.supylabel("share of updates (%)", size=mpl.rcParams["axes.labelsize"])
    note_left_out(figure, others)
    return figure


def staleness_by_speed(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """Mean staleness (versions) of each client's updates against its mean compute time (s).

    Lines run through groups of equally many clients.

    Raises:
        CannotDraw: no run has aggregated an update.
    """
    shown, others = usable(runs, lambda run: has_updates(run) and has_computed(run), _LACKING)
    known = speeds_by_run([run for group in shown for run in group.runs])
    with themed(style) as chosen:
        figure = chosen.new_figure(chosen.height)
        axes = figure.subplots()
        everything = []
        for index, group in enumerate(shown):
            points = []
            for run in group.runs:
                seconds = known[run.path]
                mean = mean_staleness_by_client(run)
                points.append(pd.DataFrame({"seconds": seconds, "staleness": mean}).dropna())
            together = pd.concat(points)
            everything.append(together["seconds"])
            look = look_of(group, chosen)
            draw_by_speed(
                axes,
                together["seconds"],
                together["staleness"],
                look,
                chosen,
                dots=len(shown) <= 3,
                above=len(shown) - 1 - index,
            )
        scale_seconds(axes, pd.concat(everything))
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        fit(axes, view)
        axes.set(xlabel=SPEED, ylabel="mean staleness (versions)")
        label_legend(figure, axes, chosen)
    note_left_out(figure, others)
    return figure


def staleness_over_time(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """One panel per setting: staleness (versions) of what was aggregated over virtual time (s).

    The line is the mean in each sixtieth of the run, the band from 5 to 95 % of the updates; the
    dotted line is the mean that theory expects in the long run. Over replications updates are
    pooled; the line is lighter where some of them have ended.

    Raises:
        CannotDraw: no run has aggregated an update.
    """
    shown, others = usable(runs, has_updates, _LACKING)
    with themed(style) as chosen:
        figure, panels = _panels(len(shown), chosen)
        for axes, group, name in zip(panels, shown, _titles(shown, chosen), strict=True):
            _draw_spans(axes, group.runs, look_of(group, chosen), chosen)
            _mark(axes, None, group, chosen, axes.axhline)
            _describe(axes, group, name, _pooled(group), chosen)
            low, high = axes.get_ylim()
            axes.set_ylim(min(0.0, low), max(1.0, high))
            axes.yaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2, integer=True))
        virtual_time(panels[-1])
        for axes in panels:
            fit(axes, view, from_zero=True)
        figure.supylabel("staleness (versions)", size=mpl.rcParams["axes.labelsize"])
        name_fewer(figure, panels, chosen)
    note_left_out(figure, others)
    return figure


def _pooled(group: Group) -> Distribution:
    return pooled([tally(run).staleness for run in group.runs])


def _panels(count: int, style: Style) -> tuple[Figure, list[Axes]]:
    panel = style.height * (0.6 if count == 1 else 0.33 if count < 5 else 0.27)
    figure = style.new_figure(0.7 * style.stroke + panel * count)
    return figure, list(figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0])


def _draw_spans(axes: Axes, runs: Sequence[Run], look: Look, style: Style) -> None:
    last = [tally(run).last_update_us / 1e6 for run in runs]
    count = sum(len(tally(run).staleness) for run in runs)
    edges = np.linspace(0, max(last) or 1.0, min(SPANS, max(1, count // 5)) + 1)
    spans = [Distribution(MOST_IN_SPAN) for _ in edges[1:]]
    for run in runs:
        for seconds, _, staleness in staleness_batches(run):
            place = bins_of(seconds, edges)
            for span in np.unique(place).tolist():
                spans[span].add(staleness[place == span])
    known = np.array([len(span) > 0 for span in spans])
    there = [span for span in spans if len(span)]
    low, high = np.array([span.quantiles((0.05, 0.95)) for span in there]).T
    mean = np.array([span.mean for span in there])
    centre = (edges[:-1] + edges[1:]) / 2
    axes.fill_between(centre[known], low, high, color=look.color, alpha=0.2, linewidth=0)
    # The last span of a run counts as its own, though it ends before the span does.
    ends = edges[np.searchsorted(edges, last)]
    curve = split_at(centre[known], mean, ends)
    width = 1.6 * style.stroke
    axes.plot(curve.x, curve.y, color=look.color, linestyle=look.line, linewidth=width)
    draw_fewer(axes, curve, look.label, look.color, look.line, width)


def _mark(axes: Axes, mean: float | None, group: Group, style: Style, line: object) -> None:
    assert callable(line)
    color, width = style.colors.ink, 1.1 * style.stroke
    if mean is not None:
        line(mean, color=color, linewidth=width, linestyle=(0, (3, 2)))
    oracle = mean_staleness(group.first)
    if oracle is not None:
        line(oracle.value, color=color, linewidth=width, linestyle=(0, (1, 1.5)))


def _titles(shown: Sequence[Group], style: Style) -> list[str]:
    return (
        short_names(shown, 16)
        if style.is_narrow
        else [look_of(group, style).label for group in shown]
    )


def _describe(axes: Axes, group: Group, name: str, values: Distribution, style: Style) -> None:
    """The setting's name on the left, and as many numbers as fit on the right."""
    oracle, steady = mean_staleness(group.first), _steady_mean(group)
    mean = f"mean {values.mean:.2f}"
    warm = mean if steady is None else f"{mean} ({steady:.2f} after warm-up)"
    theory = formula = ""
    if oracle is not None:
        theory = f", theory {oracle.value:.4g}"
        formula = theory if oracle.formula == "0" else f", theory {oracle.formula} = {theory[9:]}"
    if style.is_narrow:
        axes.set_title(name, loc="left", fontsize="small", pad=3)
        axes.set_title(mean + theory, loc="right", fontsize="small", pad=3)
    else:
        rest = f", max {values.largest}, {len(values):,} updates"
        texts = (warm + formula + rest, warm + theory + rest, mean + theory + rest, mean + theory)
        points = font_manager.FontProperties(size="small").get_size_in_points()
        room = 0.9 * style.width * 72 / (0.58 * points) - 1.2 * len(name)
        axes.set_title(name, loc="left", fontsize="medium", pad=4)
        text = next((text for text in texts if len(text) <= room), texts[-1])
        axes.set_title(text, loc="right", fontsize="small", pad=4)
    axes.set_title("", loc="center")


def _steady_mean(group: Group) -> float | None:
    """The mean without the warm-up of each run; None where there is nothing to cut."""
    series = [tally(run).series for run in group.runs]
    cuts = [each.cut() for each in series]
    if not any(cuts):
        return None
    left = [each.after(cut) for each, cut in zip(series, cuts, strict=True)]
    return sum(total for total, _ in left) / sum(count for _, count in left)
