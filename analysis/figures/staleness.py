"""How stale the aggregated updates were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from afl_sim.recording import Run
from analysis.registry import usable
from analysis.theme import INK, looks, new_figure, note_left_out, shorten, themed

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BARS: Final = 100


def staleness(runs: Sequence[Run], *, size: str = "page") -> Figure:
    """One panel per run: the share of aggregated updates (%) at each staleness (versions).

    The dashed line is the mean. Panels share the axis of staleness; the share's is each their own.

    Raises:
        CannotDraw: no run has aggregated an update.
    """
    shown, others = usable(runs, lambda run: len(_values(run)) > 0, "no aggregated updates")
    values = {index: _values(runs[index]) for index in shown}
    largest = max(4, *(int(array.max()) for array in values.values()))
    width = math.ceil((largest + 1) / MOST_BARS)
    edges = np.arange(0, largest + 1 + width, width) - 0.5
    look = looks(runs)
    with themed(size) as chosen:
        panel = chosen.height * (0.6 if len(shown) == 1 else 0.33 if len(shown) < 5 else 0.27)
        figure = new_figure(chosen.width, 0.7 + panel * len(shown))
        panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axes, index in zip(panels, shown, strict=True):
            sns.histplot(
                x=values[index],
                bins=edges,
                stat="percent",
                ax=axes,
                color=look[index].color,
                alpha=1,
                linewidth=0.4,
                edgecolor="white",
            )
            mean = float(values[index].mean())
            axes.axvline(mean, color=INK, linewidth=chosen.stroke, linestyle=(0, (3, 2)))
            _describe(axes, look[index].label, values[index], narrow=chosen.width < 5)
            axes.grid(axis="x", visible=False)
            axes.set(xlabel="", ylabel="")
            axes.yaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
        panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
        panels[-1].set_xlim(edges[0], edges[-1])
        panels[-1].set_xlabel("staleness (versions" + (f", {width} a bar)" if width > 1 else ")"))
        figure.supylabel("share of updates (%)", size=mpl.rcParams["axes.labelsize"])
    note_left_out(figure, others, "no aggregated updates")
    return figure


def _values(run: Run) -> npt.NDArray[np.int64]:
    column = run.events.loc[(run.events["kind"] == "aggregated").to_numpy(), "staleness"]
    return column.dropna().to_numpy(dtype=np.int64)


def _describe(axes: Axes, label: str, values: npt.NDArray[np.int64], narrow: bool) -> None:
    text = f"mean {values.mean():.2f}, max {values.max()}"
    if narrow:
        axes.set_title(shorten(label, 22), loc="left", fontsize="small", pad=3)
    else:
        axes.set_title(label, loc="left", fontsize="medium", pad=4)
        text += f", {len(values):,} updates"
    axes.set_title(text, loc="right", fontsize="small", pad=3 if narrow else 4)
