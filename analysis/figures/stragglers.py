"""Waiting for stragglers, and the contribution of each client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from afl_sim.analysis.curves import split_at
from afl_sim.analysis.figures.lines import UNNAMED, draw_fewer, name_fewer
from afl_sim.analysis.figures.panels import MOST_DOTS, SPEED, draw_by_speed, scale_seconds
from afl_sim.analysis.replications import Group, drawable, shorten
from afl_sim.analysis.series import (
    client_count,
    has_computed,
    idle_share,
    mean_in_bins,
    rounds,
    speeds_by_run,
    update_share,
)
from afl_sim.analysis.tally import tally
from afl_sim.analysis.theme import (
    Style,
    label_legend,
    look_of,
    note_left_out,
    say_aggregated,
    themed,
)
from afl_sim.analysis.usable import usable
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLOUDS: Final = 3  # settings whose clients are drawn one by one; more would hide each other
MOST_ROUNDS: Final = 150  # more are drawn as means over so many equal spans
NAMED: Final = 10


def stragglers(runs: Sequence[Run], *, style: str | Style = "paper") -> Figure:
    """Each client's share (%) of the run without a task and of the updates, against its speed (s).

    Lines run through groups of equally many clients; the dashed line is the fair share,
    ``1 / clients``. Settings with synchronous rounds add two panels: the share (%) of each round
    that its clients spend done and waiting for the last, on average, and, thin, the share in which
    only the last is missing, lighter where some replications have ended; and which clients of the
    first such run are last how often.

    Raises:
        CannotDraw: no run has a finished task.
    """
    shown, others = usable(runs, has_computed, "no finished tasks")
    waited = [group for group in shown if len(rounds(group.first))]
    with themed(style) as chosen:
        count = 4 if waited else 2
        rows, columns = (count, 1) if chosen.is_narrow else (count // 2, 2)
        height = chosen.height * (0.78 * rows if chosen.is_narrow else 0.2 + 0.7 * rows)
        figure = chosen.new_figure(height)
        panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
        waiting = panels.pop(0) if waited else None
        if waiting is not None:
            _draw_waiting(waiting, waited, chosen)
            _draw_last(panels.pop(0), waited[0], len(waited) < len(shown), chosen)
        _draw_clients(panels[0], panels[1], shown, chosen)
        label_legend(figure, panels[1], chosen)
        if waiting is not None:
            name_fewer(figure, [waiting], chosen, "round {}")
        say_aggregated(
            figure, panels[0], _aggregated([run for group in shown for run in group.runs])
        )
    note_left_out(figure, others)
    return figure


def _aggregated(runs: Sequence[Run]) -> list[str]:
    """What the figure shows of very long runs and large fleets."""
    said = []
    if any(tally(run).rounds.folded and len(rounds(run)) for run in runs):
        said.append("rounds: means of several in a row")
    most = max(len(tally(run).clients.clients) for run in runs)
    if most > MOST_DOTS:
        said.append(f"dots: at most {MOST_DOTS:,} of {most:,} clients")
    return said


def _draw_clients(idle_axes: Axes, share_axes: Axes, shown: Sequence[Group], style: Style) -> None:
    dots = len(shown) <= MOST_CLOUDS
    members = [run for group in shown for run in group.runs]
    speeds = speeds_by_run(members)
    everything, largest, unknown = [], 0.0, 0
    for index, group in enumerate(shown):
        above = len(shown) - 1 - index
        seconds, idle, share = [], [], []
        for run in group.runs:
            known = speeds[run.path]
            unknown = max(unknown, client_count(run) - len(known))
            seconds.append(known)
            idle.append(100 * idle_share(run).reindex(known.index))
            share.append(100 * update_share(run).reindex(known.index))
        everything += seconds
        look = look_of(group, style)
        together = pd.concat(seconds)
        draw_by_speed(idle_axes, together, pd.concat(idle), look, style, dots, above)
        top = draw_by_speed(share_axes, together, pd.concat(share), look, style, dots, above)
        largest = max(largest, top)
    counts = {client_count(run) for run in members}
    for count in counts:
        share_axes.axhline(
            100 / count, color=style.colors.ink, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1
        )
    share_axes.annotate(
        "fair\nshare",
        (1, 100 / min(counts)),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize="small",
        annotation_clip=False,
    )
    share_axes.set_ylim(-0.03 * largest, 1.08 * max(largest, 100 / min(counts)))
    idle_axes.set_ylim(-3, 103)
    for axes in (idle_axes, share_axes):
        scale_seconds(axes, pd.concat(everything))
        axes.set_xlabel(SPEED)
    idle_axes.set(ylabel="time without a task (%)", title="Idle time by speed")
    share_axes.set(ylabel="share of updates (%)", title="Contribution by speed")
    if unknown:
        share_axes.set_title("Contribution by speed", loc="left")
        share_axes.set_title("", loc="center")
        share_axes.set_title(f"{unknown} never finished", loc="right", fontsize="small")


def _draw_waiting(axes: Axes, waited: Sequence[Group], style: Style) -> None:
    for group in waited:
        look = look_of(group, style)
        tables = [rounds(run) for run in group.runs]
        table = pd.concat(tables)
        number = table["version"].to_numpy(dtype=float)
        last = number.max()
        bins = int(min(MOST_ROUNDS, last))
        edges = np.linspace(0.5, last + 0.5, bins + 1)
        ends = edges[np.searchsorted(edges, [own["version"].max() for own in tables if len(own)])]
        for column, stroke, line in (("waiting", 1.6, look.line), ("alone", 1.1, ":")):
            shares = 100 * table[column].to_numpy(dtype=float)
            mean = mean_in_bins(number, shares, edges, table["rounds"].to_numpy())
            curve = split_at((edges[:-1] + edges[1:]) / 2, mean, ends)
            axes.plot(
                curve.x,
                curve.y,
                color=look.color,
                linestyle=line,
                linewidth=stroke * style.stroke,
                marker=look.marker if bins <= 30 and column == "waiting" else None,
                markersize=4 * style.stroke,
            )
            name = look.label if column == "waiting" else UNNAMED
            draw_fewer(axes, curve, name, look.color, line, stroke * style.stroke)
    axes.plot(
        [], [], color=style.colors.ink, linewidth=1.6 * style.stroke, label="all others, mean"
    )
    axes.plot([], [], ":", color=style.colors.ink, linewidth=1.2 * style.stroke, label="last alone")
    axes.legend(loc="upper center", ncols=2, fontsize="x-small", borderaxespad=0.2)
    axes.set_ylim(0, 118)
    axes.set_yticks(range(0, 101, 25))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set(xlabel="round", ylabel="share of the round (%)", title="Waiting for the last client")


def _draw_last(axes: Axes, group: Group, name_it: bool, style: Style) -> None:
    """Bars for the clients that were last most often in the first run; they differ by run."""
    counts = tally(group.first).rounds.last()
    often = 100 * (counts.head(NAMED) / counts.sum())
    axes.bar(range(len(often)), often, color=look_of(group, style).color, width=0.7)
    axes.set_xticks(range(len(often)), [str(client) for client in often.index], fontsize="small")
    axes.grid(axis="x", visible=False)
    axes.set(xlabel="client", ylabel="rounds (%)")
    axes.set_title(
        "How often each client is last"
        + (f": {drawable(shorten(group.short, 14))}" if name_it else "")
    )
    if len(counts) > NAMED:
        others, rest = len(counts) - NAMED, 100 - often.sum()
        axes.annotate(
            f"{others} other{'s' if others > 1 else ''}: {rest:.0f} %",
            (0.98, 0.95),
            xycoords="axes fraction",
            ha="right",
            va="top",
            fontsize="x-small",
        )
