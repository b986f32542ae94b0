"""Style of figures: sizes, labels, and colours that colour-blind readers can distinguish."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import seaborn as sns
from matplotlib import font_manager
from matplotlib.figure import Figure

from afl_sim.analysis.replications import Group, drawable
from afl_sim.analysis.ticks import write_out
from afl_sim.errors import InputError
from afl_sim.scenario.wording import hint

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
# The same hues, lighter, for a dark page.
PALETTE_ON_DARK: Final = (
    "#56b4e9",
    "#f0b243",
    "#3ccf9e",
    "#f58a4b",
    "#e3a8d6",
    "#a8d8f5",
    "#dcb28f",
    "#c4c4c4",
)
TRUETYPE: Final[Any] = {"pdf.fonttype": 42, "ps.fonttype": 42}
"""How files embed fonts: publishers refuse the Type 3 fonts that matplotlib writes by default."""

NARROW: Final = 5.0
"""Figures of less inches have their panels below each other."""

LINES: Final = ("-", "--", ":", "-.")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class Colors:
    """The colours of the page and of everything that belongs to no run."""

    page: str
    ink: str
    faint: str
    grid: str
    idle: str
    lost: str
    queueing: str
    legs: tuple[str, str, str]
    palette: tuple[str, ...]


LIGHT: Final = Colors(
    page="#ffffff",
    ink="#333333",
    faint="#8a8a8a",
    grid="#e6e6e6",
    idle="#ededed",
    lost="#d55e00",
    queueing="#cc78bc",
    legs=("#56b4e9", "#0173b2", "#de8f05"),
    palette=PALETTE,
)
DARK: Final = Colors(
    page="#16181d",
    ink="#e4e4e4",
    faint="#8f949c",
    grid="#31353d",
    idle="#2b2f36",
    lost="#ff7b72",
    queueing="#e3a8d6",
    legs=("#7cc4ee", "#2f8fd0", "#f0b243"),
    palette=PALETTE_ON_DARK,
)


@dataclass(frozen=True)
class Style:
    """Where a figure goes.

    Attributes:
        width, height: of a figure with one panel, in inches.
        context: seaborn's, and ``text``, the scale of its text.
        stroke: the scale of lines and marks.
        colors: light or dark.
        name: its key in `STYLES`.
        whole: the height of every figure, in inches, whatever its panels need; None: what they
            need.
    """

    width: float
    height: float
    context: str
    text: float
    stroke: float
    colors: Colors = LIGHT
    name: str = "paper"
    whole: float | None = None

    def new_figure(self, height: float) -> Figure:
        """A figure of this width, and of this height (inches) unless another one is asked for."""
        return new_figure(self.width, self.whole or height)

    def sized(self, width: float | None, height: float | None) -> Style:
        """The style for figures of another size, in inches; None leaves it as it is.

        One panel keeps its proportions if only the width is given.
        """
        wide = width or self.width
        tall = height or self.height * wide / self.width
        return replace(self, width=wide, height=tall, whole=height)

    @property
    def is_narrow(self) -> bool:
        """Whether panels go below each other rather than side by side."""
        return self.width < NARROW


STYLES: Final = {
    "paper": Style(7.2, 4.2, "paper", 1.1, 1.0),
    "column": Style(3.5, 2.7, "paper", 0.85, 0.75, name="column"),
    "slides": Style(11.0, 6.0, "talk", 0.85, 1.6, name="slides"),
    "dark": Style(11.0, 6.0, "talk", 0.85, 1.6, DARK, name="dark"),
}
"""``paper`` is as wide as the text of a page, ``column`` as one of its two columns; ``slides`` and
``dark`` fill a screen."""


@dataclass(frozen=True)
class Look:
    """One setting's label, colour, marker and line."""

    label: str
    color: str
    marker: str
    line: str


@contextmanager
def themed(style: str | Style = "paper") -> Iterator[Style]:
    """The theme, for the figures made inside the block; nothing global stays changed.

    Args:
        style: a key of `STYLES`, or one of them in another size.

    Raises:
        InputError: there is no such style.
    """
    chosen = style if isinstance(style, Style) else _style_named(style)
    colors = chosen.colors
    settings: Any = {
        **sns.axes_style("whitegrid"),
        **sns.plotting_context(chosen.context, font_scale=chosen.text),
        "axes.edgecolor": colors.faint,
        "axes.facecolor": colors.page,
        "axes.labelcolor": colors.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "figure.facecolor": colors.page,
        "grid.color": colors.grid,
        "legend.frameon": False,
        "patch.edgecolor": colors.page,
        "savefig.dpi": 200,
        "savefig.facecolor": colors.page,
        "text.color": colors.ink,
        "xtick.color": colors.ink,
        "xtick.labelcolor": colors.ink,
        "ytick.color": colors.ink,
        "ytick.labelcolor": colors.ink,
    }
    with mpl.rc_context(settings):
        yield chosen


def _style_named(name: str) -> Style:
    if name not in STYLES:
        raise InputError(
            f"there is no style {name!r}: expected {', '.join(STYLES)}{hint(name, STYLES)}"
        )
    return STYLES[name]


class _Publishable(Figure):
    """A figure that writes its numbers out, and embeds TrueType fonts when it is saved."""

    def draw(self, renderer: Any) -> None:
        write_out(self)
        super().draw(renderer)

    def savefig(self, *args: Any, **settings: Any) -> None:
        with mpl.rc_context(TRUETYPE):
            super().savefig(*args, **settings)


def new_figure(width: float, height: float) -> Figure:
    """A figure without a window: no backend is chosen, and nothing needs closing."""
    return _Publishable(figsize=(width, height), layout="constrained")


def look_of(group: Group, style: Style) -> Look:
    """A setting's look, the same in every figure; colours repeat with another line."""
    index, palette = group.index, style.colors.palette
    return Look(
        drawable(group.short),
        palette[index % len(palette)],
        MARKERS[index % len(MARKERS)],
        LINES[index // len(palette) % len(LINES)],
    )


def label_legend(figure: Figure, axes: Axes, style: Style) -> None:
    """The legend of the settings, below the axes, in as many columns as their labels allow.

    The figure grows by what the legend takes beyond one row, so that the axes keep their height,
    unless its height was asked for.
    """
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    points = font_manager.FontProperties(size="small").get_size_in_points()
    characters = max(map(len, labels)) + 6  # the handle is as wide as six characters
    columns = max(1, min(len(labels), int(style.width * 72 / (0.6 * points * characters))))
    rows = math.ceil(len(labels) / columns)
    if style.whole is None:
        figure.set_figheight(figure.get_figheight() + (rows - 1) * 1.5 * points / 72)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize="small")


def note(figure: Figure, text: str) -> None:
    """Attach a note to a figure about something that it cannot show; see `notes`."""
    text = text.replace(r"\$", "$")
    figure.set_label("; ".join(filter(None, [notes(figure), text])))


def note_left_out(figure: Figure, others: str) -> None:
    """Leave a note on a figure about the runs that it could not show, and why; see `usable`."""
    if others:
        note(figure, f"without {others}")


def say_aggregated(figure: Figure, axes: Axes, said: Sequence[str]) -> None:
    """Write below axes, and into the notes of the figure, what stands for many events.

    Args:
        said: a phrase for each; without any nothing is written.
    """
    if said:
        text = "; ".join(dict.fromkeys(said))
        axes.set_xlabel(f"{axes.get_xlabel()}\n{text}")
        note(figure, text)


def notes(figure: Figure) -> str:
    """The notes on a figure, in one line; empty if there are none."""
    return str(figure.get_label() or "")
