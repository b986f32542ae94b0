"""The measures of a study over two of its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
import pandas as pd

from afl_sim.analysis.figures.study import NO_VALUES, ended, is_known, table_of
from afl_sim.analysis.measures import Measured, measure_of
from afl_sim.analysis.settings import swept
from afl_sim.analysis.theme import Style, note_left_out, themed
from afl_sim.analysis.usable import CannotDraw
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NUMBERS: Final = 200  # cells of a heat map; more leave no room to write in


def sweep_map(
    runs: Sequence[Run],
    *,
    style: str | Style = "paper",
    measures: Sequence[str] | None = None,
    measured: Measured | None = None,
) -> Figure:
    """A heat map per measure over the two numeric settings with the most values.

    Cells hold means over replications, and over whatever else the study varies; none where one of
    those settings has no mean.

    Args:
        measures: as for `sweep`; default the first three of them that have a value.
        measured: as for `sweep`.

    Raises:
        CannotDraw: the study does not vary two numeric settings, or nothing has a value.
    """
    shown, others = ended(runs)
    along = swept(shown)[:2]
    if len(along) < 2:
        raise CannotDraw("no two numeric settings are varied")
    table = table_of(shown, measures, measured)
    names = [name for name in dict.fromkeys(table["measure"]) if is_known(table, name)][:3]
    if not names:
        raise CannotDraw(NO_VALUES)
    with themed(style) as chosen:
        tall = chosen.is_narrow
        rows, columns = (len(names), 1) if tall else (1, len(names))
        figure = chosen.new_figure(chosen.height * (0.9 * rows if tall else 0.85))
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, name in zip(panels, names, strict=True):
            frame = pd.DataFrame(
                {
                    "x": along[0].values,
                    "y": along[1].values,
                    "value": table.loc[table["measure"] == name, "mean"].to_numpy(),
                }
            )
            # The mean of some of a cell's settings would be of the lucky ones.
            mean = frame.groupby(["y", "x"])["value"].agg(lambda cell: cell.mean(skipna=False))
            grid = mean.unstack("x")
            _draw_map(axes, grid, name, chosen)
            axes.set(xlabel=along[0].name, ylabel=along[1].name)
            axes.set_title(measure_of(name).heading, fontsize="small")
    note_left_out(figure, others)
    return figure


def _draw_map(axes: Axes, grid: pd.DataFrame, name: str, style: Style) -> None:
    measure = measure_of(name)
    values = grid.to_numpy(dtype=float)
    cmap = mpl.colormaps["viridis"]
    mesh = axes.imshow(values, aspect="auto", origin="lower", cmap=cmap)
    if values.size > MOST_NUMBERS:
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.colorbar(mesh, ax=axes, pad=0.02)
    for (row, column), value in np.ndenumerate(values if values.size <= MOST_NUMBERS else []):
        red, green, blue, _ = cmap(mesh.norm(value))
        is_dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
        ink = style.colors.ink if np.isnan(value) else "#ffffff" if is_dark else "#222222"
        axes.text(
            column,
            row,
            measure.text(value),
            ha="center",
            va="center",
            fontsize="x-small",
            color=ink,
        )
    axes.set_xticks(range(grid.shape[1]), [f"{value:g}" for value in grid.columns])
    axes.set_yticks(range(grid.shape[0]), [f"{value:g}" for value in grid.index])
    axes.grid(visible=False)
