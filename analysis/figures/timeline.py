"""The activity of clients over virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from afl_sim.analysis.activity import Activity, versions_within
from afl_sim.analysis.distribution import pooled
from afl_sim.analysis.figures.panels import virtual_time
from afl_sim.analysis.replications import drawable, shorten
from afl_sim.analysis.series import has_queues, horizon, speeds
from afl_sim.analysis.tally import tally
from afl_sim.analysis.theme import Style, note_left_out, say_aggregated, themed
from afl_sim.analysis.usable import usable
from afl_sim.analysis.view import View
from afl_sim.recording import Run

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLIENTS_SHOWN: Final = 20
_WORK: Final = ("download", "compute", "upload")
_ROW: Final = (-0.38, 0.76)  # a client's bars: from where, and how high
_STRIP: Final = (-0.38, 0.26)  # tasks that wait behind the one that is computed, below it
_MOST_LINES: Final = 40  # versions that are also drawn through the clients' rows


def timeline(
    runs: Sequence[Run],
    *,
    style: str | Style = "paper",
    clients: int | Sequence[int] = CLIENTS_SHOWN,
    window: tuple[float, float] | None = None,
    view: View | None = None,
) -> Figure:
    """One panel per setting, of its first run: what each of some clients does at each moment.

    All panels show the same clients, from the fastest (below) to the slowest, and the same time.
    The row above them is the server: a tick for each version that it made, numbered where there is
    room. A cross ends a task that was cancelled or failed. A strip below the bars shows when tasks
    wait in their client's queue.

    Args:
        clients: which clients; or how many, which are spread evenly over the order of speed.
        window: virtual seconds from and to; default the run's beginning, long enough to see
            the slow ones finish.
        view: its limits of the horizontal axis are the window, too.

    Raises:
        CannotDraw: no run has a task.
    """
    shown, others = usable(runs, has_tasks, "no tasks")
    members = [group.first for group in shown]
    chosen_clients = choose_clients(members, clients) if isinstance(clients, int) else list(clients)
    begin, end = window or default_window(members)
    if view is not None and view.xlim is not None:
        begin, end = _within(view.xlim, begin, end, max(horizon(run) for run in members))
    with themed(style) as chosen:
        panel = max(_row_inches(chosen) * (len(chosen_clients) + 1), 0.36 * chosen.height)
        height = len(members) * (panel + 0.45) + 0.85
        figure = chosen.new_figure(height)
        panels = figure.subplots(len(members), 1, sharex=True, squeeze=False)[:, 0]
        said: list[str] = []
        for axes, group in zip(panels, shown, strict=True):
            if _draw_clients(axes, group.first, chosen_clients, begin, end, chosen):
                said.append("each moment shows what a client did for most of it")
            _draw_server(axes, group.first, len(chosen_clients), begin, end, chosen)
            axes.set_title(drawable(shorten(group.short, 40 if chosen.is_narrow else 70)), pad=4)
            axes.set_xlim(begin, end)
        virtual_time(panels[-1])
        figure.supylabel(
            "client (slowest at the top)", size=float(panels[-1].xaxis.label.get_size())
        )
        _legend(figure, chosen, any(has_queues(run) for run in members))
        say_aggregated(figure, panels[-1], said)
    note_left_out(figure, others)
    return figure


def choose_clients(runs: Sequence[Run], count: int) -> list[int]:
    """Clients spread evenly over the order of speed, the fastest first.

    Only clients that got a task in some run; those that never finished one count as the slowest.
    """
    seconds = speeds(runs).to_dict()
    busy = np.unique(np.concatenate([_clients_with_tasks(run) for run in runs])).tolist()
    order = sorted(busy, key=lambda client: (seconds.get(client, np.inf), client))
    picks = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [order[pick] for pick in picks]


def _clients_with_tasks(run: Run) -> npt.NDArray[np.int64]:
    clients = tally(run).clients
    return clients.clients[clients["tasks"] > 0]


def has_tasks(run: Run) -> bool:
    """Whether a client of the run got a task."""
    return len(_clients_with_tasks(run)) > 0


def default_window(runs: Sequence[Run]) -> tuple[float, float]:
    """From 0 until the slow tenth of the tasks has had time for two, within the longest run."""
    length = max(horizon(run) for run in runs)
    spent = pooled([tally(run).spans for run in runs])
    if len(spent) == 0:
        return 0.0, max(length, 1e-6)
    typical, slow = (micro / 1e6 for micro in spent.quantiles((0.5, 0.95)))
    return 0.0, min(max(2.2 * slow, 12 * typical), length) or 1e-6


def _within(
    limits: tuple[float | None, float | None], begin: float, end: float, last: float
) -> tuple[float, float]:
    """The window that limits ask for; an end that they leave open is the usual one, or the last."""
    low, high = limits
    begin = begin if low is None else low
    end = (end if end > begin else max(last, begin + 1.0)) if high is None else high
    return begin, max(end, begin + 1e-6)


def _draw_clients(
    axes: Axes, run: Run, clients: Sequence[int], begin: float, end: float, style: Style
) -> bool:
    """Draw a row for each client; returns whether a moment stands for several legs."""
    colors = style.colors
    last = horizon(run)
    until = min(end, last)
    activity = Activity(run, clients, begin, until)
    for row, client in enumerate(clients):
        if until > begin:
            _bars(axes, row, [(begin, until)], colors.idle)
        spans = activity.spans(client)
        for leg, color in _colors(style).items():
            inside = [(a, b) for a, b in spans[leg] if b > begin and a < until]
            _bars(axes, row, inside, color, _STRIP if leg == "queueing" else _ROW)
        at = activity.lost(client)
        axes.plot(
            at,
            [row] * len(at),
            "x",
            color=colors.lost,
            markersize=4 * style.stroke,
            markeredgewidth=1.3 * style.stroke,
            zorder=4,
        )
    if last < end:
        axes.axvline(last, color=colors.ink, linewidth=1.0)
    axes.set_ylim(-0.6, len(clients) + 0.6)
    size = "xx-small" if len(clients) <= 30 else 0.75 * 72 * _row_inches(style)
    axes.set_yticks(range(len(clients) + 1), [*map(str, clients), "server"], fontsize=size)
    axes.tick_params(axis="y", length=0, pad=2)
    axes.grid(visible=False)
    return activity.condensed


def _colors(style: Style) -> dict[str, str]:
    """The colours of the legs; waiting is drawn last, over other activity."""
    return {**dict(zip(_WORK, style.colors.legs, strict=True)), "queueing": style.colors.queueing}


def _bars(
    axes: Axes,
    row: int,
    spans: Sequence[tuple[float, float]],
    color: str,
    extent: tuple[float, float] = _ROW,
) -> None:
    if spans:
        lengths = [(begin, end - begin) for begin, end in spans]
        below, height = extent
        axes.broken_barh(lengths, (row + below, height), facecolors=color, linewidth=0)


def _draw_server(axes: Axes, run: Run, row: int, begin: float, end: float, style: Style) -> None:
    times, versions = versions_within(run, begin, end)
    ink = style.colors.ink
    axes.vlines(times, row - 0.4, row + 0.4, color=ink, linewidth=0.9 * style.stroke)
    if 0 < len(times) <= _MOST_LINES:
        axes.vlines(times, -0.6, row - 0.4, color=ink, linewidth=0.4, alpha=0.5)
    narrow = 0.035 * (end - begin)
    free_from = begin
    for time, version in zip(times, versions, strict=True):
        room = narrow * max(1.0, len(str(version)) / 3)
        if time >= free_from and time + room < end:
            axes.annotate(
                str(version),
                (time, row),
                xytext=(2 * style.stroke, 0),
                textcoords="offset points",
                va="center",
                fontsize="xx-small",
                bbox={"facecolor": style.colors.page, "edgecolor": "none", "pad": 0.3},
            )
            free_from = time + room


def _legend(figure: Figure, style: Style, queues: bool) -> None:
    colors = style.colors
    named = {**_colors(style), "idle": colors.idle}
    if not queues:
        del named["queueing"]
    handles: list[Patch | Line2D] = [Patch(color=color, label=leg) for leg, color in named.items()]
    ink, lost = colors.ink, colors.lost
    handles += [
        Line2D([], [], color=ink, marker="|", linestyle="", markersize=7, label="new version"),
        Line2D([], [], color=lost, marker="x", linestyle="", label="cancelled or failed"),
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3 if style.is_narrow else len(handles),
        fontsize="small",
        columnspacing=1.2,
        handlelength=1.2,
    )


def _row_inches(style: Style) -> float:
    return 0.105 if style.is_narrow else style.height * 0.027
