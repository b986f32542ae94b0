"""What clients do over virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from afl_sim.recording import Run
from analysis.figures.heterogeneity import compute_seconds
from analysis.registry import usable
from analysis.theme import INK, new_figure, note_left_out, themed, unique_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLIENTS_SHOWN: Final = 20
COLORS: Final = {
    "download": "#56b4e9",
    "compute": "#0173b2",
    "upload": "#de8f05",
    "idle": "#ededed",
}
LOST: Final = "#d55e00"


def timeline(
    runs: Sequence[Run],
    *,
    size: str = "page",
    clients: int = CLIENTS_SHOWN,
    window: tuple[float, float] | None = None,
) -> Figure:
    """One panel per run: what each of some clients does at each moment.

    All panels show the same clients, from the fastest (below) to the slowest, and the same time.
    Ticks along the top are the versions that the server made. A cross ends a task that was
    cancelled or failed.

    Args:
        clients: how many clients; they are spread evenly over the order of speed.
        window: virtual seconds from and to; default the run's beginning, long enough to see
            the slow ones finish.

    Raises:
        CannotDraw: no run has a task.
    """
    shown, others = usable(runs, lambda run: len(run.tasks) > 0, "no tasks")
    members = [runs[index] for index in shown]
    chosen_clients = choose_clients(members, clients)
    begin, end = window or default_window(members)
    labels = unique_labels(runs, 40 if size == "column" else 70)
    with themed(size) as chosen:
        row_inches = 0.105 if size == "column" else chosen.height * 0.027
        panel = max(row_inches * len(chosen_clients), 0.36 * chosen.height)
        height = len(members) * (panel + 0.45) + 0.85
        figure = new_figure(chosen.width, height)
        panels = figure.subplots(len(members), 1, sharex=True, squeeze=False)[:, 0]
        for axes, run, index in zip(panels, members, shown, strict=True):
            _draw_clients(axes, run, chosen_clients, begin, end, chosen.stroke)
            _mark_versions(axes, run, begin, end)
            axes.set_title(labels[index], fontsize="medium", pad=8 * chosen.stroke)
            axes.set_xlim(begin, end)
        panels[-1].set_xlabel("virtual time (s)")
        figure.supylabel(
            "client (slowest at the top)", size=float(panels[-1].xaxis.label.get_size())
        )
        _legend(figure, size)
    note_left_out(figure, others, "no tasks")
    return figure


def choose_clients(runs: Sequence[Run], count: int) -> list[int]:
    """Clients spread evenly over the order of speed, the fastest first.

    Only clients that got a task in some run; those that never finished one count as the slowest.
    """
    seconds = pd.concat([compute_seconds(run) for run in runs]).groupby(level=0).mean()
    busy = sorted({int(client) for run in runs for client in run.tasks["client"].unique()})
    order = sorted(busy, key=lambda client: (seconds.get(client, np.inf), client))
    picks = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [order[pick] for pick in picks]


def default_window(runs: Sequence[Run]) -> tuple[float, float]:
    """From 0 until the slow tenth of the tasks has had time for two, within the longest run."""
    length = max(float(run.events["time_us"].iloc[-1]) for run in runs) / 1e6
    spent = pd.concat([run.tasks["ended"] - run.tasks["dispatched"] for run in runs]).dropna()
    if len(spent) == 0:
        return 0.0, max(length, 1e-6)
    slow = float(np.quantile(spent.to_numpy(dtype=float), 0.95)) / 1e6
    typical = float(np.median(spent.to_numpy(dtype=float))) / 1e6
    return 0.0, min(max(2.2 * slow, 12 * typical), length) or 1e-6


def _draw_clients(
    axes: Axes, run: Run, clients: Sequence[int], begin: float, end: float, stroke: float
) -> None:
    last = float(run.events["time_us"].iloc[-1]) / 1e6
    until = min(end, last)
    tasks = run.tasks[run.tasks["client"].isin(clients)]
    for row, client in enumerate(clients):
        mine = tasks[tasks["client"] == client]
        if until > begin:
            _bars(axes, row, [(begin, until)], "idle")
        spans = legs(mine, until)
        for leg in ("download", "compute", "upload"):
            _bars(axes, row, [(a, b) for a, b in spans[leg] if b > begin and a < until], leg)
        lost = mine[mine["cancelled"].notna() | mine["failed"].notna()]
        at = lost["ended"].astype("float64") / 1e6
        at = at[(at >= begin) & (at <= until)]
        axes.plot(
            at,
            [row] * len(at),
            "x",
            color=LOST,
            markersize=4 * stroke,
            markeredgewidth=1.3 * stroke,
            zorder=4,
        )
    if last < end:
        axes.axvline(last, color=INK, linewidth=1.0)
    axes.set_ylim(-0.6, len(clients) - 0.4)
    axes.set_yticks(range(len(clients)), [str(client) for client in clients])
    axes.tick_params(axis="y", labelsize="xx-small", length=0, pad=2)
    axes.grid(visible=False)


def legs(tasks: pd.DataFrame, until: float) -> dict[str, list[tuple[float, float]]]:
    """When one client downloaded, computed and uploaded: spans in virtual seconds.

    Args:
        tasks: rows of `Run.tasks`.
        until: where legs that are still under way end, in seconds.
    """
    spans: dict[str, list[tuple[float, float]]] = {"download": [], "compute": [], "upload": []}
    names = ("dispatched", "downloaded", "computed", "arrived", "ended")
    moments = {name: tasks[name].astype("float64").to_numpy() / 1e6 for name in names}
    for row in range(len(tasks)):
        ended = moments["ended"][row]
        stop = until if np.isnan(ended) else ended
        start = moments["dispatched"][row]
        for leg, name in zip(spans, names[1:4], strict=True):
            reached = moments[name][row]
            finish = stop if np.isnan(reached) else min(reached, stop)
            if finish > start:
                spans[leg].append((start, finish))
            if np.isnan(reached):
                break
            start = finish
    return spans


def _bars(axes: Axes, row: int, spans: Sequence[tuple[float, float]], what: str) -> None:
    if spans:
        lengths = [(begin, end - begin) for begin, end in spans]
        axes.broken_barh(lengths, (row - 0.38, 0.76), facecolors=COLORS[what], linewidth=0)


def _mark_versions(axes: Axes, run: Run, begin: float, end: float) -> None:
    rows = run.events.loc[(run.events["kind"] == "aggregated").to_numpy(), ["time_us", "version"]]
    times = rows.drop_duplicates("version")["time_us"].to_numpy(dtype=float) / 1e6
    times = times[(times >= begin) & (times <= end)]
    axes.vlines(
        times,
        1.0,
        1.035,
        transform=axes.get_xaxis_transform(),
        color=INK,
        linewidth=0.8,
        clip_on=False,
    )
    if 0 < len(times) <= 40:
        axes.vlines(times, 0, 1, transform=axes.get_xaxis_transform(), color=INK, lw=0.4, alpha=0.5)


def _legend(figure: Figure, size: str) -> None:
    handles: list[Patch | Line2D] = [Patch(color=color, label=leg) for leg, color in COLORS.items()]
    handles.append(
        Line2D([], [], color=INK, marker="|", linestyle="", markersize=7, label="new version")
    )
    handles.append(
        Line2D([], [], color=LOST, marker="x", linestyle="", label="cancelled or failed")
    )
    columns = 3 if size == "column" else 6
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        fontsize="small",
        columnspacing=1.2,
        handlelength=1.2,
    )
