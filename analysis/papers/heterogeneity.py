"""What this project's own studies share: tables by setting, and times along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from afl_sim.analysis.papers.reaching import Values, paired_differences, seconds_to, values
from afl_sim.analysis.statistics import median_time, student_interval
from afl_sim.analysis.theme import MARKERS, Style, label_legend, new_figure, themed
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES: Final = {
    "fedavg": "FedAvg",
    "fedbuff": "FedBuff",
    "fedasync": "FedAsync",
    "safa": "SAFA",
    "favas": "FAVAS",
    "quafl": "QuAFL",
}
Settings = Mapping[str, Sequence[Run]]
Measure = Callable[[Run], float | None]


def table(settings: Settings, rows: Mapping[str, str], measure: Measure) -> dict[str, Values]:
    """A measure of every setting that was run, by the name of its row."""
    return {
        row: values(settings[label], measure) for label, row in rows.items() if label in settings
    }


def differences(
    settings: Settings, pairs: Mapping[tuple[str, str], str], measure: Measure
) -> dict[str, Values]:
    """What the first of each pair of settings has more than the second, by the name of its row."""
    return {
        row: paired_differences(settings[one], settings[other], measure)
        for (one, other), row in pairs.items()
        if one in settings and other in settings
    }


def along(settings: Settings, labels: Mapping[float, str], measure: Measure) -> dict[float, Values]:
    """A measure of the settings that were run, by their place on an axis."""
    return {x: values(settings[label], measure) for x, label in labels.items() if label in settings}


def draw_times(
    settings: Settings, kinds: Sequence[str], levels: Sequence[str], xlabel: str
) -> Figure:
    """Times to 90 % and 95 % of the settings ``kind-level``: a line for each kind, a panel each."""
    with themed() as style:
        figure = new_figure(style.width, style.height)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, goal in zip(panels, (0.9, 0.95), strict=True):
            for index, kind in enumerate(kinds):
                labels = {float(level): f"{kind}-{level}" for level in levels}
                found = along(settings, labels, seconds_to(goal))
                draw_line(axes, found, NAMES[kind], index, style)
            axes.set(xlabel=xlabel, yscale="log", title=f"to {goal:.0%}")
        panels[0].set_ylabel("virtual time (s)")
        label_legend(figure, panels[0], style)
    return figure


def draw_line(
    axes: Axes,
    found: Mapping[float, Values],
    name: str,
    index: int,
    style: Style,
    shift: float = 0.0,
) -> None:
    """One line of times along an axis: means with Student's 95 % interval.

    ``shift`` moves it along the axis, so that the intervals of several lines can be told apart.

    Where some replications did not reach the target, the mark is hollow and at the median; where
    half of them did not, there is none.
    """
    color = style.colors.palette[index % len(style.colors.palette)]
    marker = MARKERS[index % len(MARKERS)]
    at, middle = [], []
    for x, times in found.items():
        reached = [time for time in times if time is not None]
        whole = len(reached) == len(times)
        interval = student_interval(reached)
        value = interval.mean if whole else median_time(times)
        if value is None or math.isnan(value):
            continue
        at.append(x + shift)
        middle.append(value)
        face = color if whole else style.colors.page
        axes.plot(at[-1:], [value], marker, color=color, markerfacecolor=face)
        if whole and interval.is_known:
            ends = [max(interval.low, 0.2 * value), interval.high]
            axes.plot([at[-1], at[-1]], ends, color=color)
    axes.plot(at, middle, color=color)
    axes.plot([], [], color=color, marker=marker, label=name)  # the legend's
