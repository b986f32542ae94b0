"""Accuracy by class: when each class is learnt, and which clients hold it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from afl_sim.analysis.curves import Curve, along, has_axis, held, mean_of
from afl_sim.analysis.figures.learning import has_accuracy, lacking
from afl_sim.analysis.figures.lines import PLACES, SEEN, UNNAMED, draw_curve, key_fewer, name_fewer
from afl_sim.analysis.figures.panels import fit, progress, virtual_time
from afl_sim.analysis.metrics import ACCURACY
from afl_sim.analysis.replications import Group, short_names
from afl_sim.analysis.series import by_speed, has_computed, speeds_by_run
from afl_sim.analysis.theme import Style, label_legend, look_of, note_left_out, themed
from afl_sim.analysis.usable import usable
from afl_sim.analysis.view import View, along_of
from afl_sim.errors import RunFolderError
from afl_sim.recording import Run
from afl_sim.recording.folder import PARTITION

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TENTH: Final = 0.1
_TENTHS: Final = {"fastest": "-", "slowest": "--"}
_COLUMNS: Final = 200
_NO_SHARES: Final = "no evaluations by class, or no record of the samples of each client"


def class_accuracy(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """One panel per setting: accuracy (%) of each class over virtual time (s), as a heat map.

    Over replications it is their mean. Where some of them have ended it is the mean of the others;
    a line and a count, such as "2 of 3", show where that begins.

    Raises:
        CannotDraw: no run has evaluations by class.
    """
    shown, others = usable(runs, _has_classes, lacking(runs, ACCURACY))
    with themed(style) as chosen:
        columns = 1 if chosen.is_narrow or len(shown) == 1 else min(3, len(shown))
        rows = math.ceil(len(shown) / columns)
        figure = chosen.new_figure(0.6 + (0.3 + 0.44 * chosen.height) * rows)
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        names = short_names(shown, 22 if columns > 1 else 36)
        for axes, group, name in zip(panels, shown, names, strict=False):
            edges, table, ends = _over_time(group)
            mesh = axes.pcolormesh(
                edges,
                np.arange(table.shape[1] + 1) - 0.5,
                100 * table.T,
                cmap=mpl.colormaps["viridis"],
                vmin=0,
                vmax=100,
                rasterized=True,
            )
            fit(axes, view)
            _mark_ends(axes, ends, edges[-1], chosen)
            axes.set_title(name, fontsize="small")
            most = 5 if chosen.is_narrow else 10  # numbers of classes that have room
            axes.yaxis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5]))
            axes.grid(visible=False)
            virtual_time(axes, 4)
        panels[0].invert_yaxis()  # shared by all
        for axes in panels[::columns]:
            axes.set_ylabel("class")
        figure.colorbar(mesh, ax=list(panels), pad=0.02).set_label("accuracy (%)")
    note_left_out(figure, others)
    return figure


def fairness(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """Accuracy (%) over virtual time (s) on the labels of the fastest and slowest clients.

    A view may name something else than time.

    The accuracy of each class, weighted by the labels that the fastest tenth of the clients hold
    (solid) and the slowest tenth (dashed): does the server learn from stragglers? Clients that
    never finished a task count as the slowest.

    Raises:
        CannotDraw: no run has both evaluations and a record of who holds which samples.
    """
    shown, others = usable(runs, _has_shares, _NO_SHARES)
    x = along_of(view)
    known = speeds_by_run([run for group in shown for run in group.runs])
    with themed(style) as chosen:
        figure = chosen.new_figure(chosen.height * 1.05)
        axes = figure.subplots()
        for group in shown:
            look = look_of(group, chosen)
            mixes = [label_mixes(known[run.path], run) for run in group.runs]
            for which, line in _TENTHS.items():
                pairs = zip(group.runs, mixes, strict=True)
                curve = mean_of([_weighted(run, mix[which], x) for run, mix in pairs], True)
                label = look.label if which == "fastest" else UNNAMED
                draw_curve(axes, curve, replace(look, line=line, label=label), chosen)
        progress(axes, x)
        axes.set_ylim(0, 101)
        fit(axes, view, from_zero=True)
        axes.set_ylabel("accuracy on a label mix (%)")
        key_fewer(axes, chosen)
        _two_legends(figure, axes, chosen)
        name_fewer(figure, [axes], chosen, PLACES[x])
    note_left_out(figure, others)
    return figure


def label_mixes(known: pd.Series, run: Run) -> dict[str, npt.NDArray[np.float64]]:
    """The labels that the fastest and the slowest tenth of a run's clients hold, as shares.

    Args:
        known: the speeds of its population; see `afl_sim.analysis.series.speeds`.
    """
    counts = run.label_counts
    order = [client for client in by_speed(known, run) if client in counts.index]
    size = max(1, round(TENTH * len(order)))
    mixes = {}
    for which, clients in (("fastest", order[:size]), ("slowest", order[-size:])):
        total = counts.loc[clients].sum().to_numpy(dtype="float64")
        mixes[which] = total / max(total.sum(), 1.0)
    return mixes


def _weighted(run: Run, mix: npt.NDArray[np.float64], x: str) -> Curve:
    """Accuracy on those classes of a mix that an evaluation tested; NaN if it tested none."""
    if not has_axis(run, x):
        return Curve(np.empty(0), np.empty(0))
    table, _ = _by_class(run)
    tested = ~np.isnan(table)
    share = tested @ mix
    right = np.where(tested, table, 0.0) @ mix
    where = along(run, x)[_with_classes(run).to_numpy()]
    return Curve(where, 100 * np.divide(right, share, np.full(len(share), np.nan), where=share > 0))


def _by_class(run: Run) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Accuracy by evaluation and class, and when (s) each evaluation was."""
    rows = run.metrics[_with_classes(run)]
    table = np.array(rows["class_accuracy"].tolist(), dtype="float64")
    return table, rows["time_us"].to_numpy(dtype="float64") / 1e6


def _over_time(
    group: Group,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], list[tuple[float, str]]]:
    """Edges of spans of virtual time, and in each the accuracy of every class at its beginning.

    Also from where on it is the mean of fewer than all runs, and of how many.
    """
    found = [_by_class(run) for run in group.runs]
    ends = np.array([seconds[-1] for _, seconds in found])
    longest = max(len(seconds) for _, seconds in found)
    spans = min(_COLUMNS, max(4 * longest, 2)) if ends.max() else 1
    edges = np.unique([*np.linspace(0, ends.max() or 1.0, spans + 1), *ends])
    places = edges[:-1]
    # A run with one evaluation, at the beginning, has at least that.
    goes_on = (places[None, :] < ends[:, None]) | (places == 0)
    total = np.zeros((len(places), found[0][0].shape[1]))
    for (table, seconds), here in zip(found, goes_on, strict=True):
        values = np.stack([held(seconds, column, places) for column in table.T], axis=1)
        total += np.where(here[:, None], values, 0.0)
    fewer = [
        (float(end), f"{int((ends > end).sum())} of {len(ends)}")
        for end in np.unique(ends)
        if end < ends.max()
    ]
    return edges, total / goes_on.sum(axis=0)[:, None], fewer


def _mark_ends(axes: Axes, ends: Sequence[tuple[float, str]], last: float, style: Style) -> None:
    """Mark where runs end by a line, with the number of those that continue if there is room."""
    for (begin, count), end in zip(ends, [at for at, _ in [*ends[1:], (last, "")]], strict=False):
        if end - begin < SEEN * last:
            continue
        axes.axvline(begin, color=style.colors.page, linewidth=1.2 * style.stroke)
        low, high = axes.get_xlim()
        if end - begin > 0.12 * (high - low) and low <= begin <= high - 0.12 * (high - low):
            axes.annotate(
                count,
                (begin, 0.03),
                xycoords=("data", "axes fraction"),
                xytext=(3 * style.stroke, 0),
                textcoords="offset points",
                fontsize="x-small",
                color=style.colors.ink,
                bbox={"facecolor": style.colors.page, "edgecolor": "none", "pad": 0.8},
            )


def _with_classes(run: Run) -> pd.Series:
    """Which evaluations have an accuracy for every class."""
    return run.metrics["class_accuracy"].map(lambda values: values is not None and len(values) > 0)


def _has_classes(run: Run) -> bool:
    return has_accuracy(run) and bool(_with_classes(run).any())


def _has_shares(run: Run) -> bool:
    if not _has_classes(run) or run.label_counts.empty or not has_computed(run):
        return False
    labels = run.label_counts.shape[1]
    classes = len(run.metrics["class_accuracy"][_with_classes(run)].iloc[0])
    if labels != classes:
        raise RunFolderError(
            f"{run.path / PARTITION} is damaged: it counts {labels} labels, and evaluations have "
            f"{classes} classes"
        )
    return True


def _two_legends(figure: Figure, axes: Axes, style: Style) -> None:
    handles = [
        Line2D([], [], color=style.colors.ink, ls=line, label=f"{which} tenth")
        for which, line in _TENTHS.items()
    ]
    axes.add_artist(axes.legend(handles=handles, loc="lower right", fontsize="small"))
    label_legend(figure, axes, style)
