"""How the metrics of clients differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from afl_sim.analysis.metrics import label_of, scale_of
from afl_sim.analysis.theme import Style, label_legend, look_of, note_left_out, themed
from afl_sim.analysis.usable import usable
from afl_sim.recording import Run
from afl_sim.recording.metrics import BY_CLIENT

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LACKING = "no metrics of each client (evaluation.per_client)"


def per_client(runs: Sequence[Run], *, style: str | Style = "paper") -> Figure:
    """A panel per metric: the share of the clients (%) whose value is at most that on the axis.

    The values are those of the last evaluation. Over replications the clients of all runs count.
    A steep line means that the clients are alike. A mark shows the mean of the tenth of the clients
    that are worst off.

    Raises:
        CannotDraw: no run has metrics of each client.
    """
    shown, others = usable(runs, lambda run: bool(measured_by_client(run)), LACKING)
    names = list(dict.fromkeys(n for g in shown for run in g.runs for n in measured_by_client(run)))
    with themed(style) as chosen:
        columns = 1 if chosen.is_narrow else min(3, len(names))
        rows = math.ceil(len(names) / columns)
        figure = chosen.new_figure(0.5 + chosen.height * (0.75 if columns > 1 else 1) * rows)
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        for axes, name in zip(panels, names, strict=False):
            for group in shown:
                values = [value for run in group.runs for value in of_clients(run, name)]
                lower = group.first.better.get(name) == "lower"
                look = look_of(group, chosen)
                _draw(axes, np.sort(values), name, lower, look.color, look.line, look.label, chosen)
            axes.set_xlabel(label_of(name))
            axes.set_ylim(0, 101)
        for axes in panels[::columns]:
            axes.set_ylabel("clients (%)")
        label_legend(figure, panels[0], chosen)
    note_left_out(figure, others)
    return figure


def measured_by_client(run: Run) -> list[str]:
    """The metrics that a run's evaluations measure of each client, as far as one has a value."""
    columns = [str(name) for name in run.metrics if str(name).startswith(BY_CLIENT)]
    names = [name.removeprefix(BY_CLIENT) for name in columns]
    return [name for name in names if len(of_clients(run, name))]


def of_clients(run: Run, metric: str) -> npt.NDArray[np.float64]:
    """The values of the clients at the last evaluation that has some, without missing ones."""
    column = BY_CLIENT + metric
    if column not in run.metrics:
        return np.empty(0)
    for row in reversed(run.metrics[column].tolist()):
        values = np.array([] if row is None else row, dtype="float64")
        if np.isfinite(values).any():
            known: npt.NDArray[np.float64] = values[np.isfinite(values)]
            return known
    return np.empty(0)


def _draw(
    axes: Axes,
    values: npt.NDArray[np.float64],
    metric: str,
    lower: bool,
    color: str,
    line: str,
    label: str,
    style: Style,
) -> None:
    if not len(values):
        return
    x = scale_of(metric) * values
    share = 100 * np.arange(1, len(x) + 1) / len(x)
    axes.step(
        np.concatenate([x[:1], x]),
        np.concatenate([[0.0], share]),
        where="post",
        color=color,
        linestyle=line,
        linewidth=1.5 * style.stroke,
        label=label,
    )
    tenth = max(1, round(len(x) / 10))
    worst = x[-tenth:] if lower else x[:tenth]
    axes.plot(
        [worst.mean()],
        [100 - 50 * tenth / len(x) if lower else 50 * tenth / len(x)],
        "o",
        color=color,
        markersize=5.5 * style.stroke,
        markeredgecolor=style.colors.page,
    )
