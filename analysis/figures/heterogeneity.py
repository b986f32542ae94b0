"""The clients: their speed, the duration of their tasks, and their data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from afl_sim.analysis.distribution import pooled
from afl_sim.analysis.figures.panels import SPEED, say, scale_seconds
from afl_sim.analysis.replications import Group
from afl_sim.analysis.series import (
    by_speed,
    has_computed,
    has_queues,
    populations,
    speeds,
    speeds_by_run,
)
from afl_sim.analysis.tally import LEGS, tally
from afl_sim.analysis.theme import Style, look_of, note_left_out, say_aggregated, themed
from afl_sim.analysis.usable import usable
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_RUGS: Final = 500
MOST_COLUMNS: Final = 200
MOST_BOXES: Final = 4  # settings with a box of their own; of more one box shows all
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


def heterogeneity(runs: Sequence[Run], *, style: str | Style = "paper") -> Figure:
    """Four panels about the clients.

    The share of clients (%) whose mean compute time per task is at most so many seconds, a tick on
    the axis for each client, one line for each fleet (replications share one). How long tasks spend
    in each leg (s): boxes of the middle half, whiskers from 5 to 95 %; the buffer is the wait at
    the server. The labels that clients hold (% of a client's samples), and how many samples, from
    the fastest client to the slowest, of the first run that recorded them.

    Raises:
        CannotDraw: no run has a finished task.
    """
    shown, others = usable(runs, has_computed, "no finished tasks")
    members = [run for group in shown for run in group.runs]
    recorded = [run for run in members if not run.label_counts.empty]
    with themed(style) as chosen:
        tall = chosen.is_narrow
        rows, columns = (4, 1) if tall else (2, 2)
        figure = chosen.new_figure(chosen.height * (3.2 if tall else 1.5))
        panels = figure.subplots(rows, columns).ravel(order="C" if tall else "F")
        _draw_speeds(panels[0], shown, chosen)
        _draw_legs(panels[1], shown, chosen)
        if recorded:
            _draw_holdings(figure, panels[2], panels[3], members, recorded[0], chosen)
        else:
            for axes in panels[2:]:
                say(axes, "the samples of each client\nwere not recorded", chosen)
        _legend(figure, shown, chosen)
        if any(tally(run).spans.rounded for run in members):
            count = sum(len(tally(run).spans) for run in members)
            say_aggregated(figure, panels[1], [f"of {count:,} tasks, rounded to 0.02 %"])
    note_left_out(figure, others)
    return figure


def _draw_speeds(axes: Axes, shown: Sequence[Group], style: Style) -> None:
    members = [run for group in shown for run in group.runs]
    fleets = populations(members, with_seed=False)
    everything = []
    for fleet in fleets:
        seconds = pd.concat([speeds(family) for family in populations(fleet)])
        everything.append(seconds)
        owner = next(group for group in shown if fleet[0] in group.runs)
        look = look_of(owner, style)
        color = style.colors.ink if len(fleets) == 1 else look.color
        line = "-" if len(fleets) == 1 else look.line
        stroke = 1.6 * style.stroke
        sns.ecdfplot(
            x=seconds, stat="percent", ax=axes, color=color, linestyle=line, linewidth=stroke
        )
        rug = seconds.sort_values().iloc[:: max(1, len(seconds) // MOST_RUGS)]
        sns.rugplot(x=rug, ax=axes, color=color, height=0.04, linewidth=0.6, alpha=0.5)
    scale_seconds(axes, pd.concat(everything))
    axes.set(xlabel=SPEED, ylabel="share of clients (%)", title="Speed of the clients")


def _draw_legs(axes: Axes, shown: Sequence[Group], style: Style) -> None:
    """A box for each leg and setting; what took no time is counted beside it."""
    boxed = shown if len(shown) <= MOST_BOXES else [shown[0].with_runs(_all_runs(shown))]
    tables = [
        {leg: pooled([tally(run).legs[leg] for run in group.runs]) for leg in LEGS}
        for group in boxed
    ]
    height = 0.8 / len(boxed)
    drawn: list[float] = []
    notes = []
    shown_legs = [
        leg for leg in LEGS if leg != "queueing" or any(map(has_queues, _all_runs(shown)))
    ]
    for row, leg in enumerate(shown_legs):
        for index, (group, table) in enumerate(zip(boxed, tables, strict=True)):
            values = table[leg]
            place = row + (index - (len(boxed) - 1) / 2) * height
            positive = values.positive()
            if len(values) and len(positive) < len(values):
                absent = 100 * (1 - len(positive) / len(values))
                notes.append((place, f"none in {absent:.0f} %"))
            if not len(positive):
                continue
            color = style.colors.legs[1] if group is not shown[index] else ""
            color = color or look_of(group, style).color
            low, first, median, third, high = (
                micro / 1e6 for micro in positive.quantiles(QUANTILES)
            )
            drawn += [low, high]
            ink, page = style.colors.ink, style.colors.page
            axes.hlines(place, low, high, color=ink, linewidth=0.9 * style.stroke)
            axes.barh(place, third - first, 0.8 * height, left=first, color=color, zorder=2)
            if third < 1.2 * first:  # a box of no width would not be seen
                axes.plot(median, place, "s", color=color, markersize=4.5 * style.stroke)
            else:
                half = 0.4 * height
                axes.vlines(median, place - half, place + half, color=page, lw=1.4 * style.stroke)
    scale_seconds(axes, drawn)
    for place, note in notes:
        axes.annotate(
            note,
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize="x-small",
            color=style.colors.faint,
        )
    axes.set_ylim(len(shown_legs) - 0.4, -0.6)
    axes.set_yticks(range(len(shown_legs)), shown_legs)
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="time per task (s)", title="Where the time of a task goes")


def _all_runs(shown: Sequence[Group]) -> list[Run]:
    return [run for group in shown for run in group.runs]


def _draw_holdings(
    figure: Figure, above: Axes, below: Axes, members: Sequence[Run], run: Run, style: Style
) -> None:
    counts = run.label_counts
    order = [
        client
        for client in by_speed(speeds_by_run(members)[run.path], run)
        if client in counts.index
    ]
    table = counts.loc[order].to_numpy(dtype=float)
    columns = np.array_split(np.arange(len(order)), min(MOST_COLUMNS, len(order)))
    samples = table.sum(axis=1)
    shares = 100 * table / np.maximum(samples, 1)[:, None]
    grid = np.stack([shares[part].mean(axis=0) for part in columns], axis=1)
    mesh = above.imshow(
        grid,
        aspect="auto",
        cmap=mpl.colormaps["mako" if style.colors.page == "#16181d" else "mako_r"],
        vmin=0,
        extent=(0.0, float(len(order)), counts.shape[1] - 0.5, -0.5),
        interpolation="nearest",
    )
    figure.colorbar(mesh, ax=above, pad=0.02).set_label("samples of a client (%)", size="small")
    above.grid(visible=False)
    above.yaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5]))
    above.set(ylabel="label", title="Labels by client")
    edges = [part[0] for part in columns] + [len(order)]
    means = [samples[part].mean() for part in columns]
    below.stairs(means, edges, fill=True, color=style.colors.legs[1])
    below.set(ylabel="samples", title="Samples by client", xlim=(0, len(order)))
    below.set_ylim(bottom=0)
    below.yaxis.set_major_locator(MaxNLocator(4))
    for axes in (above, below):
        axes.set_xlabel("clients from the fastest to the slowest")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    far = np.arange(len(order))
    if len(order) > 2 and np.ptp(samples) > 0:
        rank = pd.Series(samples).rank().corr(pd.Series(far))
        below.annotate(
            f"rank correlation with slowness {rank:+.2f}",
            (0.02, 0.96),
            xycoords="axes fraction",
            va="top",
            fontsize="x-small",
            bbox={"facecolor": style.colors.page, "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
        )


def _legend(figure: Figure, shown: Sequence[Group], style: Style) -> None:
    if 1 < len(shown) <= MOST_BOXES:
        handles = []
        for group in shown:
            look = look_of(group, style)
            handles.append(Line2D([], [], color=look.color, linewidth=6, label=look.label))
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=1 if style.is_narrow else 2,
            fontsize="small",
        )
