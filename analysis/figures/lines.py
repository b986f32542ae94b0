"""Curves over replications as lines: the mean of all runs, and a lighter mean of the remaining."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.transforms import Bbox

from afl_sim.analysis.curves import Curve
from afl_sim.analysis.theme import Look, Style, note

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

KEY: Final = "fewer seeds"
"""The legend's text for the lighter lines."""

PLACES: Final = {
    "time": "{} s",
    "versions": "version {}",
    "updates": "{} updates",
    "samples": "{} samples",
    "bytes": "{} MB",
    "energy": "{} kJ",
    "price": "a price of {}",
    "carbon": "{} g",
}
"""How a note says where on one of `afl_sim.analysis.curves.AXES` something is."""

UNNAMED: Final = "_"
"""The label of a line that legends and notes leave out."""

SEEN: Final = 0.02
"""The share of an axis below which a stretch of fewer replications is too short to be named."""

_HIDDEN: Final = f"_{KEY}: "  # no legend shows a label that begins with an underscore
_SPLIT: Final = " | "
_NOTED: Final = 4  # settings; more do not fit a line
_LIGHTER: Final = 0.5


def draw_curve(axes: Axes, curve: Curve, look: Look, style: Style, scale: float = 1.0) -> None:
    """A line with marks, its band where it has one, and lighter where replications are missing."""
    width = 1.6 * scale * style.stroke
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
        linewidth=width,
    )
    draw_band(axes, curve, look.color)
    draw_fewer(axes, curve, look.label, look.color, look.line, width)


def draw_line(
    axes: Axes,
    curve: Curve,
    label: str,
    color: str,
    line: str = "-",
    width: float | None = None,
    band: bool = True,
) -> None:
    """A line without marks, its band, and lighter where replications are missing.

    Args:
        width: in points; default the theme's.
    """
    width = mpl.rcParams["lines.linewidth"] if width is None else width
    axes.plot(curve.x, curve.y, line, color=color, label=label, linewidth=width)
    if band:
        draw_band(axes, curve, color, alpha=0.15)
    draw_fewer(axes, curve, label, color, line, width)


def draw_band(axes: Axes, curve: Curve, color: str, alpha: float = 0.2) -> None:
    """The band of a curve, where it has one."""
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=alpha, linewidth=0)


def draw_fewer(axes: Axes, curve: Curve, setting: str, color: str, line: str, width: float) -> None:
    """A lighter line for each stretch in which only some of the replications have a value."""
    for stretch in curve.fewer:
        axes.plot(
            stretch.x,
            stretch.y,
            color=color,
            linestyle=line,
            linewidth=width,
            alpha=_LIGHTER,
            label=f"{_HIDDEN}{stretch.runs} of {curve.runs}{_SPLIT}{setting}",
        )


def key_fewer(axes: Axes, style: Style) -> None:
    """Give ``axes`` an entry for the legend if it has a lighter line that can be seen.

    It is called when the limits are set, and before the legend is made.
    """
    if _fewer(axes):
        width = 1.6 * style.stroke
        axes.plot([], [], color=style.colors.ink, alpha=_LIGHTER, linewidth=width, label=KEY)


def name_fewer(figure: Figure, panels: Sequence[Axes], style: Style, place: str = "{} s") -> None:
    """Label lighter lines with their number of replications, beside them and in a note.

    It is called last, as it needs the figure's layout.

    Args:
        place: how the note says where on the axis something is.
    """
    lines = [(axes, line, *_hidden(line)) for axes in panels for line in _fewer(axes)]
    lines = [entry for entry in lines if entry[-1] != UNNAMED]
    if not lines:
        return
    said: dict[str, list[str]] = {}
    for _, line, count, setting in lines:
        begin = float(_points(line)[0, 0])
        number = f"{begin:,.0f}" if begin >= 100 else f"{begin:.3g}"
        said.setdefault(setting, []).append(f"{count} from {place.format(number)}")
    brief = {
        setting: counts if len(counts) < 4 else [counts[0], "…", counts[-1]]
        for setting, counts in said.items()
    }
    shown = [f"{setting} {', '.join(counts)}" for setting, counts in brief.items()]
    more = [f"{len(shown) - _NOTED} more settings"] if len(shown) > _NOTED else []
    note(figure, f"lines for fewer seeds are lighter: {'; '.join(shown[:_NOTED] + more)}")
    figure.draw_without_rendering()
    taken: list[Bbox] = []
    for axes, line, count, _ in lines:
        _write_beside(axes, line, count, taken, style)


def _write_beside(axes: Axes, line: Line2D, count: str, taken: list[Bbox], style: Style) -> None:
    """Write below or above the beginning of a line, or nowhere if there is no room.

    Args:
        taken: where something is written already, in pixels; what is written joins it.
    """
    inside = axes.get_window_extent()
    begin = tuple(_points(line)[0])
    x, y = axes.transData.transform(_points(line)).T
    for side, gap in (("top", -4), ("bottom", 4)):
        text = axes.annotate(
            count,
            begin,
            xytext=(3 * style.stroke, gap * style.stroke),
            textcoords="offset points",
            va=side,
            fontsize="x-small",
            color=style.colors.ink,
            bbox={"facecolor": style.colors.page, "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
        )
        own = text.get_window_extent()
        under = np.interp(np.linspace(own.x0, own.x1, 12), x, y)
        if (
            own.width < x[-1] - x[0]
            and own.x1 < inside.x1
            and inside.y0 < own.y0
            and not ((under > own.y0) & (under < own.y1)).any()
            and not any(own.overlaps(other) for other in taken)
        ):
            taken.append(own.padded(2))
            return
        text.remove()


def _fewer(axes: Axes) -> list[Line2D]:
    """The lighter lines that are long enough to be seen."""
    low, high = axes.get_xlim()
    return [
        line
        for line in axes.get_lines()
        if str(line.get_label()).startswith(_HIDDEN)
        and np.ptp(_points(line)[:, 0]) > SEEN * (high - low)
    ]


def _points(line: Line2D) -> npt.NDArray[np.float64]:
    """The places of a line, shape (points, 2)."""
    return np.asarray(line.get_xydata(), dtype=float)


def _hidden(line: Line2D) -> tuple[str, str]:
    """The number of replications of a lighter line, and its setting."""
    count, _, setting = str(line.get_label()).removeprefix(_HIDDEN).partition(_SPLIT)
    return count, setting
