"""How fast the clients compute, and who contributes how much."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from afl_sim.recording import Run
from analysis.registry import usable
from analysis.theme import INK, Look, label_legend, looks, new_figure, note_left_out, themed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPEED_GROUPS: Final = 8
MOST_CLOUDS: Final = 3  # runs whose clients are drawn one by one; more would hide each other


def heterogeneity(runs: Sequence[Run], *, size: str = "page") -> Figure:
    """Two panels: the spread of the clients' speeds, and each client's share of the updates.

    Left, the share of clients (%) whose mean compute time per task is at most so many seconds: one
    line for each population of clients. Right, every client's share of the aggregated updates (%)
    against its mean compute time (s), a line through groups of equally many clients, and the fair
    share, ``1 / clients``. A client's time is its mean over the finished tasks of all runs of its
    population; clients that never finished one are counted in a note.

    Raises:
        CannotDraw: no run has a finished task.
    """
    shown, others = usable(runs, lambda run: len(compute_seconds(run)) > 0, "no finished tasks")
    populations = _populations([runs[index] for index in shown])
    look = looks(runs)
    with themed(size) as chosen:
        stacked = size == "column"
        height = chosen.height * (1.75 if stacked else 0.95)
        figure = new_figure(chosen.width, height)
        left, right = figure.subplots(*((2, 1) if stacked else (1, 2)), sharex=True)
        unknown = 0
        largest = 0.0
        for member_positions, speeds in populations:
            members = [shown[position] for position in member_positions]
            alone = len(populations) == 1
            sns.ecdfplot(
                x=speeds,
                stat="percent",
                ax=left,
                color=INK if alone else look[members[0]].color,
                linestyle="-" if alone else look[members[0]].line,
                linewidth=1.6 * chosen.stroke,
            )
            for index in members:
                share = update_share(runs[index]) * 100
                unknown = max(unknown, int((~share.index.isin(speeds.index)).sum()))
                points = share[share.index.isin(speeds.index)]
                dots = len(shown) <= MOST_CLOUDS
                # Strategies often contribute alike: lines below are wider, so that they show.
                below = min(2, len(shown) - 1 - shown.index(index))
                width = (1.5 + 0.7 * below) * chosen.stroke
                top = _draw_share(right, speeds[points.index], points, look[index], width, dots)
                largest = max(largest, top)
        counts = {client_count(runs[index]) for index in shown}
        for count in counts:
            right.axhline(100 / count, color=INK, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
        right.annotate(
            "fair\nshare",
            (1, 100 / min(counts)),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
        right.set_ylim(-0.03 * largest, 1.08 * max(largest, 100 / min(counts)))
        for axes in (left, right):
            axes.set_xlabel("mean compute time per task (s)")
            axes.tick_params(labelbottom=True)
        _scale_seconds(left, pd.concat([speeds for _, speeds in populations]))
        left.set_ylabel("share of clients (%)")
        right.set_ylabel("share of updates (%)")
        left.set_title("Speed of the clients", fontsize="medium")
        right.set_title("Contribution by speed", fontsize="medium")
        _note(left, populations[0][1], unknown)
        label_legend(figure, right, chosen)
    note_left_out(figure, others, "no finished tasks")
    return figure


def compute_seconds(run: Run) -> pd.Series:
    """Seconds that each finished task computed, indexed by client."""
    tasks = run.tasks
    begin = tasks["downloaded"].fillna(tasks["dispatched"])
    spent = (tasks["computed"] - begin).dropna().astype("float64") / 1e6
    return pd.Series(spent.to_numpy(), index=tasks.loc[spent.index, "client"].astype("int64"))


def update_share(run: Run) -> pd.Series:
    """Each client's share of the aggregated updates, 0 to 1; the index holds every client."""
    tasks = run.tasks
    used = tasks.loc[tasks["aggregated"].notna(), "client"].astype("int64")
    everyone = pd.RangeIndex(client_count(run))
    return used.value_counts(normalize=True).reindex(everyone, fill_value=0.0)


def client_count(run: Run) -> int:
    """How many clients there are; at least as many as the events name."""
    named = int(run.tasks["client"].max()) + 1 if len(run.tasks) else 1
    clients = run.scenario.get("clients")
    written = clients.get("count") if isinstance(clients, dict) else None
    return max(named, int(written or 0))


def _populations(runs: Sequence[Run]) -> list[tuple[list[int], pd.Series]]:
    """Runs grouped by what decides how long tasks compute, with each client's mean seconds."""
    groups: dict[str, list[int]] = {}
    for position, run in enumerate(runs):
        training = run.scenario.get("training") or {}
        work = {key: training.get(key) for key in ("epochs", "steps", "batch_size", "drop_last")}
        sections = [run.scenario.get(key) for key in ("seed", "clients", "data")]
        groups.setdefault(json.dumps([sections, work], default=str), []).append(position)
    populations = []
    for positions in groups.values():
        seconds = pd.concat([compute_seconds(runs[position]) for position in positions])
        populations.append((positions, seconds.groupby(level=0).mean()))
    return populations


def _draw_share(
    axes: Axes, seconds: pd.Series, percent: pd.Series, look: Look, width: float, dots: bool
) -> float:
    """Draw one run's contributions; returns the largest share (%) that it drew."""
    if dots:
        axes.scatter(
            seconds,
            percent,
            s=9,
            color=look.color,
            alpha=0.3,
            linewidths=0,
            rasterized=len(seconds) > 2000,
        )
    order = np.argsort(seconds.to_numpy(), kind="stable")
    groups = np.array_split(order, min(SPEED_GROUPS, len(order)))
    centre = [float(np.median(seconds.to_numpy()[group])) for group in groups]
    height = [float(percent.to_numpy()[group].mean()) for group in groups]
    axes.plot(
        centre,
        height,
        color=look.color,
        linestyle=look.line,
        marker=look.marker,
        markersize=3 + width,
        markeredgecolor="white",
        markeredgewidth=0.4,
        linewidth=width,
        label=look.label,
    )
    return float(percent.max()) if dots else max(height)


def _note(axes: Axes, seconds: pd.Series, unknown: int) -> None:
    """Say how far apart fast and slow are, in the corner that the curve leaves free."""
    low, high = np.quantile(seconds, [0.1, 0.9])
    lines = []
    if high > 1.05 * low:
        lines += [f"fastest tenth: up to {low:.3g} s", f"slowest tenth: from {high:.3g} s"]
    if unknown:
        lines.append(f"{unknown} client{'s' if unknown > 1 else ''} finished no task")
    to_axes = axes.transData + axes.transAxes.inverted()
    rises_late = to_axes.transform((float(np.median(seconds)), 0))[0] > 0.4
    across, down = (0.03, 0.97) if rises_late else (0.98, 0.04)
    axes.text(
        across,
        down,
        "\n".join(lines),
        transform=axes.transAxes,
        ha="left" if rises_late else "right",
        va="top" if rises_late else "bottom",
        fontsize="small",
        linespacing=1.3,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
    )


def _scale_seconds(axes: Axes, seconds: pd.Series) -> None:
    """A logarithmic axis with plain numbers; linear where speeds are close, or some are zero."""
    low, high = float(seconds.min()), float(seconds.max())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    if high < 4 * low or low <= 0:
        margin = 0.05 * (high - low) or 0.5 * high or 1.0
        axes.set_xlim(low - margin, high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return
    axes.set_xscale("log")
    axes.set_xlim(low / 1.15, high * 1.15)
    subs = (1, 2, 5) if high < 300 * low else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
