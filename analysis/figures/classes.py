"""Accuracy class by class: which classes are learnt when, and whose classes they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from afl_sim.recording import Run
from analysis.curves import Curve, held, mean_of
from analysis.figures.learning import LACKING, draw_curve, has_accuracy
from analysis.figures.panels import virtual_time
from analysis.registry import usable
from analysis.replications import Group, short_names
from analysis.series import by_speed, compute_seconds
from analysis.theme import Style, label_legend, look_of, new_figure, note_left_out, themed

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TENTH: Final = 0.1
_COLUMNS: Final = 200
_NO_SHARES: Final = "no evaluations by class, or no record of who holds which samples"


def class_accuracy(runs: Sequence[Run], *, style: str = "paper") -> Figure:
    """One panel per setting: accuracy (%) of each class over virtual time (s), as a heat map.

    Over replications it is their mean, as far as all of them go.

    Raises:
        CannotDraw: no run has evaluations by class.
    """
    shown, others = usable(runs, _has_classes, LACKING)
    with themed(style) as chosen:
        columns = 1 if chosen.is_narrow or len(shown) == 1 else min(3, len(shown))
        rows = math.ceil(len(shown) / columns)
        figure = new_figure(chosen.width, 0.6 + (0.3 + 0.44 * chosen.height) * rows)
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        names = short_names(shown, 22 if columns > 1 else 36)
        for axes, group, name in zip(panels, shown, names, strict=False):
            edges, table = _over_time(group)
            mesh = axes.pcolormesh(
                edges,
                np.arange(table.shape[1] + 1) - 0.5,
                100 * table.T,
                cmap=mpl.colormaps["viridis"],
                vmin=0,
                vmax=100,
                rasterized=True,
            )
            axes.set_title(name, fontsize="small")
            axes.yaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5]))
            axes.grid(visible=False)
            virtual_time(axes, 4)
        panels[0].invert_yaxis()  # shared by all
        for axes in panels[::columns]:
            axes.set_ylabel("class")
        figure.colorbar(mesh, ax=list(panels), pad=0.02).set_label("accuracy (%)")
    note_left_out(figure, others, LACKING)
    return figure


def fairness(runs: Sequence[Run], *, style: str = "paper") -> Figure:
    """Accuracy (%) over virtual time (s) on the labels of the fastest and slowest clients.

    The accuracy of each class, weighted by the labels that the fastest tenth of the clients hold
    (solid) and the slowest tenth (dashed): does the server learn from stragglers? Clients that
    never finished a task count as the slowest.

    Raises:
        CannotDraw: no run has both evaluations and a record of who holds which samples.
    """
    shown, others = usable(runs, _has_shares, _NO_SHARES)
    members = [run for group in shown for run in group.runs]
    with themed(style) as chosen:
        figure = new_figure(chosen.width, chosen.height * 1.05)
        axes = figure.subplots()
        for group in shown:
            look = look_of(group, chosen)
            for which, line in (("fastest", "-"), ("slowest", (0, (4, 2)))):
                curves = [_weighted(members, run, which) for run in group.runs]
                curve = mean_of(curves)
                draw_curve(axes, curve, look, chosen)
                drawn = axes.get_lines()[-1]
                drawn.set_linestyle(line)
                drawn.set_label(look.label if which == "fastest" else "_")
        axes.set_xlim(left=0)
        axes.set_ylim(0, 101)
        virtual_time(axes)
        axes.set_ylabel("accuracy on a label mix (%)")
        _two_legends(figure, axes, chosen)
    note_left_out(figure, others, _NO_SHARES)
    return figure


def label_mixes(members: Sequence[Run], run: Run) -> dict[str, npt.NDArray[np.float64]]:
    """The labels that the fastest and the slowest tenth of a run's clients hold, as shares.

    Args:
        members: runs that may know the speed of further clients of the same population.
    """
    counts = run.label_counts
    order = [client for client in by_speed(members, run) if client in counts.index]
    size = max(1, round(TENTH * len(order)))
    mixes = {}
    for which, clients in (("fastest", order[:size]), ("slowest", order[-size:])):
        total = counts.loc[clients].sum().to_numpy(dtype="float64")
        mixes[which] = total / max(total.sum(), 1.0)
    return mixes


def _weighted(members: Sequence[Run], run: Run, which: str) -> Curve:
    table, seconds = _by_class(run)
    return Curve(seconds, 100 * np.nan_to_num(table) @ label_mixes(members, run)[which])


def _by_class(run: Run) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Accuracy by evaluation and class, and when (s) each evaluation was."""
    rows = run.evaluations[run.evaluations["class_accuracy"].map(len) > 0]
    table = np.array(rows["class_accuracy"].tolist(), dtype="float64")
    return table, rows["time_us"].to_numpy(dtype="float64") / 1e6


def _over_time(group: Group) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Edges of spans of virtual time, and in each the accuracy of every class at its beginning."""
    found = [_by_class(run) for run in group.runs]
    end = min(float(seconds[-1]) for _, seconds in found) or 1.0
    longest = max(len(seconds) for _, seconds in found)
    edges = np.linspace(0, end, min(_COLUMNS, max(4 * longest, 2)) + 1)
    places = edges[:-1]
    rows = [
        np.stack([held(seconds, column, places) for column in table.T], axis=1)
        for table, seconds in found
    ]
    return edges, np.mean(rows, axis=0)


def _has_classes(run: Run) -> bool:
    return has_accuracy(run) and bool((run.metrics["class_accuracy"].map(len) > 0).any())


def _has_shares(run: Run) -> bool:
    return _has_classes(run) and not run.label_counts.empty and len(compute_seconds(run)) > 0


def _two_legends(figure: Figure, axes: Axes, style: Style) -> None:
    handles = [
        Line2D([], [], color=style.colors.ink, linestyle=line, label=f"{which} tenth")
        for which, line in (("fastest", "-"), ("slowest", (0, (4, 2))))
    ]
    axes.add_artist(axes.legend(handles=handles, loc="lower right", fontsize="small"))
    label_legend(figure, axes, style)
