"""Shared by several figures: axes of curves, of seconds and of clients' speed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from afl_sim.analysis.curves import AXES
from afl_sim.analysis.theme import Look, Style
from afl_sim.analysis.ticks import PLAIN
from afl_sim.analysis.view import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

SPEED: Final = "mean compute time per task (s)"
SPEED_GROUPS: Final = 8
MOST_DOTS: Final = 4000  # more are a cloud that takes long to draw and shows no more
_DIGIT, _GAP = 0.6, 1.0  # widths of a digit, and between two numbers, in heights of the type


def scale_seconds(axes: Axes, seconds: Iterable[float]) -> None:
    """A logarithmic axis with plain numbers; linear where times are close, or some are zero."""
    known = np.asarray(list(seconds), dtype=float)
    known = known[np.isfinite(known)]
    axes.xaxis.set_major_formatter(PLAIN)
    if not len(known):
        return
    low, high = float(known.min()), float(known.max())
    if high < 4 * low or low <= 0:
        margin = 0.05 * (high - low) or 0.5 * high or 1.0
        axes.set_xlim(low - margin, high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return
    axes.set_xscale("log")
    margin = max(1.15, (high / low) ** 0.04)  # room for a mark at the ends
    axes.set_xlim(low / margin, high * margin)
    figure = axes.get_figure(root=True)
    assert figure is not None
    narrow = axes.get_position().width * figure.get_figwidth() < 2.6
    subs = (1, 2, 5) if high < (30 if narrow else 300) * low else (1,)
    plain_decades(axes.xaxis, subs)


def plain_decades(axis: Axis, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Ticks of a logarithmic axis at plain numbers: these multiples of each power of ten."""
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(PLAIN)
    axis.set_minor_formatter(NullFormatter())


def virtual_time(axes: Axes, ticks: int = 6) -> None:
    """An axis of virtual seconds with plain numbers."""
    progress(axes, "time", ticks)


def progress(axes: Axes, along: str, ticks: int = 6) -> None:
    """A horizontal axis of `afl_sim.analysis.curves.AXES` with plain numbers."""
    axes.set_xlabel(AXES[along])
    axes.xaxis.set_major_locator(_Apart(ticks))
    axes.xaxis.set_major_formatter(PLAIN)


class _Apart(MaxNLocator):
    """No more ticks than have room for their numbers beside each other.

    Args:
        most: the largest number of intervals.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._most = most

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """The ticks within these limits."""
        widest = max(len(f"{value:,.0f}") for value in (vmin, vmax))
        # Matplotlib's count of ticks has room for numbers that are three times as wide as high.
        axis: Any = self.axis
        room = 3 * (axis.get_tick_space() + 1) / (_DIGIT * widest + _GAP)  # it is rounded down
        self.set_params(nbins=max(1, min(self._most, int(room))))
        return super().tick_values(vmin, vmax)


def fit(axes: Axes, view: View | None, from_zero: bool = False) -> None:
    """Give axes the scales and limits that are asked for. It is called when all lines are drawn.

    Args:
        from_zero: whether the horizontal axis begins at 0 unless something else is asked for.
    """
    view = view or View()
    if "x" in view.log:
        axes.set_xscale("log")
        axes.autoscale(axis="x")
    elif from_zero:
        axes.set_xlim(left=0)
    if "y" in view.log:
        axes.set_yscale("log")
        axes.autoscale(axis="y")
    if view.xlim is not None:
        axes.set_xlim(*view.xlim)
    if view.ylim is not None:
        axes.set_ylim(*view.ylim)
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name in view.log:
            _log_ticks(axis)


def _log_ticks(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis, also if it spans less than a power of ten."""
    low, high = sorted(axis.get_view_interval())
    if high < 10 * low:
        axis.set_major_locator(MaxNLocator(5))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(PLAIN)
    else:
        plain_decades(axis, (1, 2, 5) if high < 300 * low else (1,))


def draw_by_speed(
    axes: Axes,
    seconds: pd.Series,
    values: pd.Series,
    look: Look,
    style: Style,
    dots: bool,
    above: int = 0,
) -> float:
    """Draw a value of each client against its speed: dots, and a line through equal groups.

    Args:
        seconds, values: aligned, one entry for each client.
        above: how many lines will be drawn above this one; strategies often do alike, and a line
            below others is wider, so that it shows.

    Returns:
        The largest value drawn.
    """
    x, y = seconds.to_numpy(dtype=float), values.to_numpy(dtype=float)
    order = np.argsort(x, kind="stable")
    if dots:
        shown = order[:: max(1, len(order) // MOST_DOTS)]
        axes.scatter(
            x[shown],
            y[shown],
            s=9 * style.stroke,
            color=look.color,
            alpha=0.3,
            linewidths=0,
            rasterized=len(shown) > 1000,
        )
    parts = np.array_split(order, min(SPEED_GROUPS, len(order)))
    centre = [float(np.median(x[part])) for part in parts]
    height = [float(y[part].mean()) for part in parts]
    axes.plot(
        centre,
        height,
        color=look.color,
        linestyle=look.line,
        marker=look.marker,
        markersize=(4.5 + 1.1 * min(2, above)) * style.stroke,
        markeredgecolor=style.colors.page,
        markeredgewidth=0.4,
        linewidth=(1.6 + 1.1 * min(2, above)) * style.stroke,
        label=look.label,
    )
    return float(y.max()) if dots else max(height)


def say(axes: Axes, text: str, style: Style) -> None:
    """Write into an empty panel why it is empty."""
    axes.set_axis_off()
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=style.colors.faint,
        fontsize="small",
    )
