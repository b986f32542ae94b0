"""The numbers at the ticks of figures: written out, with separators of thousands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib.ticker import FuncFormatter, ScalarFormatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def number(value: float) -> str:
    """A number as it is written beside an axis."""
    return f"{value:,.10g}".replace("-", "−")


PLAIN: Final = FuncFormatter(lambda value, _: number(value))


def write_out(figure: Figure) -> None:
    """Give the numbers of all linear axes this form, unless a figure has chosen another."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.isDefault_majfmt and isinstance(axis.get_major_formatter(), ScalarFormatter):
                axis.set_major_formatter(PLAIN)
                axis.isDefault_majfmt = True  # so that another scale may bring its own
