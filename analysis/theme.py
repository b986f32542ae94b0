"""How figures look: sizes, colours that colour-blind readers can tell apart, labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import seaborn as sns
from matplotlib import font_manager
from matplotlib.figure import Figure

from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# seaborn's "colorblind" (after Okabe and Ito) without its two colours too pale for a white page.
PALETTE: Final = (
    "#0173b2",
    "#de8f05",
    "#029e73",
    "#d55e00",
    "#cc78bc",
    "#56b4e9",
    "#ca9161",
    "#949494",
)
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
INK: Final = "#333333"
FAINT: Final = "#9a9a9a"
LONGEST_LABEL: Final = 36


@dataclass(frozen=True)
class Size:
    """Where a figure goes: inches, seaborn's scale of text, and the scale of lines and marks."""

    width: float
    height: float
    context: str
    scale: float
    stroke: float


SIZES: Final = {
    "column": Size(3.5, 2.7, "paper", 0.85, 0.75),
    "page": Size(7.2, 4.2, "paper", 1.1, 1.0),
    "slides": Size(11.0, 6.0, "talk", 0.85, 1.6),
}
"""``column`` and ``page`` fit a two-column paper, ``slides`` a screen."""


@dataclass(frozen=True)
class Look:
    """One run's label, colour, marker and line."""

    label: str
    color: str
    marker: str
    line: str


@contextmanager
def themed(size: str = "page") -> Iterator[Size]:
    """The theme, for the figures made inside the block; nothing global stays changed.

    Args:
        size: a key of `SIZES`.
    """
    chosen = SIZES[size]
    settings: Any = {
        **sns.axes_style("whitegrid"),
        **sns.plotting_context(chosen.context, font_scale=chosen.scale),
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "#e6e6e6",
        "legend.frameon": False,
        "savefig.dpi": 200,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with mpl.rc_context(settings):
        yield chosen


def new_figure(width: float, height: float) -> Figure:
    """A figure that belongs to nobody's window: no backend is chosen, nothing needs closing."""
    return Figure(figsize=(width, height), layout="constrained")


def looks(runs: Sequence[Run]) -> list[Look]:
    """A look for each run; labels are unique and short, colours repeat with another line."""
    return [
        Look(
            label,
            PALETTE[index % len(PALETTE)],
            MARKERS[index % len(MARKERS)],
            ("-", "--", ":", "-.")[index // len(PALETTE) % 4],
        )
        for index, label in enumerate(unique_labels(runs))
    ]


def unique_labels(runs: Sequence[Run], longest: int = LONGEST_LABEL) -> list[str]:
    """The runs' labels, shortened in the middle and numbered where two are the same."""
    labels: list[str] = []
    for run in runs:
        label = shorten(run.label, longest)
        count = 2
        candidate = label
        while candidate in labels:
            candidate = f"{label} ({count})"
            count += 1
        labels.append(candidate)
    return labels


def shorten(text: str, longest: int = LONGEST_LABEL) -> str:
    """``text`` with its middle left out where it is too long."""
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return text[:head] + "…" + text[head + 1 - longest :]


def label_legend(figure: Figure, axes: Axes, size: Size) -> None:
    """The legend of the runs, below the axes, in as many columns as their labels allow.

    The figure grows by what the legend takes beyond one row, so that the axes keep their height.
    """
    handles, labels = axes.get_legend_handles_labels()
    points = font_manager.FontProperties(size="small").get_size_in_points()
    characters = max(map(len, labels), default=1) + 6  # the handle is as wide as six characters
    columns = max(1, min(len(labels), int(size.width * 72 / (0.6 * points * characters))))
    rows = math.ceil(len(labels) / columns)
    figure.set_figheight(figure.get_figheight() + (rows - 1) * 1.5 * points / 72)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize="small")


def note_left_out(figure: Figure, labels: Sequence[str], why: str) -> None:
    """Leave a note on a figure about the runs that it could not show; see `left_out`."""
    if labels:
        figure.set_label(f"without {', '.join(labels)}: {why}")


def left_out(figure: Figure) -> str:
    """The note that `note_left_out` left; empty where every run is shown."""
    return str(figure.get_label() or "")
