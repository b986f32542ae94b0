"""The groups of a fleet, and who is there when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from pydantic import ValidationError

from afl_sim.analysis.by_group import MEASURES, group_table, names_of_groups
from afl_sim.analysis.charging import charged, has_batteries
from afl_sim.analysis.figures.panels import fit, virtual_time
from afl_sim.analysis.replications import Group, drawable, shorten
from afl_sim.analysis.series import client_count, has_computed, horizon
from afl_sim.analysis.theme import (
    Style,
    label_legend,
    look_of,
    note_left_out,
    themed,
)
from afl_sim.analysis.usable import usable
from afl_sim.analysis.view import View
from afl_sim.errors import RunFolderError
from afl_sim.recording import Run
from afl_sim.scenario.sections.clients import Clients
from afl_sim.streams import Streams
from afl_sim.world.clients.attendance import attendance_of
from afl_sim.world.microseconds import MICROSECONDS

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INSTANTS: Final = 400
MOST_CLIENTS: Final = 2000  # that are asked; of more, so many spread over the fleet


def groups(runs: Sequence[Run], *, style: str | Style = "paper") -> Figure:
    """Four panels about the groups of clients, a row for each group and a mark for each setting.

    Their share of the updates (%), where the light bar is their share of the clients; the mean
    compute time of their tasks (s); the mean staleness of their updates (versions); and their time
    without a task (%). A mark is the mean over replications, the line beside it goes from the
    smallest to the largest.

    Raises:
        CannotDraw: no run has groups of clients and a finished task.
    """
    shown, others = usable(
        runs,
        lambda run: bool(len(run.client_groups)) and has_computed(run),
        "no groups of clients (clients.groups), or no finished tasks",
    )
    names = names_of_groups([run for group in shown for run in group.runs])
    with themed(style) as chosen:
        rows, columns = (4, 1) if chosen.is_narrow else (2, 2)
        tall = 0.75 + len(names) * max(0.28, 0.08 + 0.17 * len(shown))
        figure = chosen.new_figure(rows * max(tall, 0.4 * chosen.height))
        panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).ravel())
        for axes, measure in zip(panels, MEASURES, strict=True):
            _draw_measure(axes, measure, names, shown, chosen)
        label_legend(figure, panels[0], chosen)
    note_left_out(figure, others)
    return figure


def _draw_measure(
    axes: Axes, measure: str, names: Sequence[str], shown: Sequence[Group], style: Style
) -> None:
    height = 0.7 / len(shown)
    largest = 0.0
    for index, group in enumerate(shown):
        tables = [group_table(run).reindex(names) for run in group.runs]
        look = look_of(group, style)
        place = np.arange(len(names)) + (index - (len(shown) - 1) / 2) * height
        if measure == "updates":
            share = np.mean([table["share"].to_numpy(dtype=float) for table in tables], axis=0)
            axes.barh(place, share, 0.9 * height, color=style.colors.idle, zorder=1)
            largest = max(largest, float(np.nanmax(share)))
        values = np.array([table[measure].to_numpy(dtype=float) for table in tables])
        known = np.isfinite(values).any(axis=0)
        if not known.any():
            continue
        values, where = values[:, known], place[known]
        mean = np.nanmean(values, axis=0)
        stroke = 1.4 * style.stroke
        axes.hlines(
            where, np.nanmin(values, axis=0), np.nanmax(values, axis=0), color=look.color, lw=stroke
        )
        axes.plot(
            mean,
            where,
            look.marker,
            color=look.color,
            markersize=5.5 * style.stroke,
            markeredgecolor=style.colors.page,
            label=look.label,
        )
        largest = max(largest, float(np.nanmax(values)))
    axes.set_xlim(-0.02 * largest, 1.06 * largest or 1.0)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_yticks(range(len(names)), [drawable(shorten(name, 18)) for name in names])
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    label = MEASURES[measure]
    axes.set_xlabel("share of updates, bar: of clients (%)" if measure == "updates" else label)


def presence(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """The share of the clients (%) that are available over virtual time, of each fleet.

    If the fleet has groups, a line for each group. Settings with the same clients share a panel,
    unless they have batteries: clients are away while these are charged. Replications have other
    clients; the first one is shown. Of more than 2,000 clients, 2,000 spread over the fleet are
    asked.

    Raises:
        CannotDraw: the clients of all runs are always available.
    """
    shown, others = usable(runs, _comes_and_goes, "clients that are always available")
    fleets: dict[str, list[Group]] = {}
    for group in shown:
        run = group.first
        own = str(run.path) if has_batteries(clients_of(run)) else None
        key = json.dumps([run.scenario["clients"], run.scenario["seed"], own])
        fleets.setdefault(key, []).append(group)
    with themed(style) as chosen:
        rows = len(fleets)
        figure = chosen.new_figure(0.4 + 0.62 * chosen.height * rows)
        panels = figure.subplots(rows, 1, sharex=True, squeeze=False).ravel()
        for axes, alike in zip(panels, fleets.values(), strict=True):
            _draw_presence(axes, max((group.first for group in alike), key=horizon), chosen)
            axes.set_ylabel("clients available (%)")
            axes.set_ylim(-2, 102)
            if rows > 1:
                names = ", ".join(group.short for group in alike)
                axes.set_title(drawable(shorten(names, 60)))
        virtual_time(panels[-1])
        for axes in panels:
            fit(axes, view)
        _name_groups(figure, shown, chosen)
    note_left_out(figure, others)
    return figure


def clients_of(run: Run) -> Clients:
    """The clients of a run's scenario, with the traces that it names.

    Raises:
        RunFolderError: a trace is no longer there.
    """
    try:
        return Clients.model_validate(run.scenario.get("clients"))
    except ValidationError as error:  # a trace that is no longer there
        first = error.errors()[0]["msg"]
        raise RunFolderError(f"{run.path}: its clients cannot be read again: {first}") from None


def _comes_and_goes(run: Run) -> bool:
    clients = clients_of(run)
    if horizon(run) <= 0:
        return False
    if attendance_of(clients, Streams(run.scenario["seed"])) is not None:
        return True
    return has_batteries(clients) and any(True for _ in charged(run, lambda *_: True))


def present(run: Run) -> tuple[npt.NDArray[np.float64], dict[str, npt.NDArray[np.float64]]]:
    """Instants of a run (s), and by group the share of its clients that are available, 0 to 1.

    Without groups the name is empty.
    """
    clients = clients_of(run)
    availability = attendance_of(clients, Streams(run.scenario["seed"]))

    def is_scheduled(client: int, now_us: int) -> bool:
        return availability is None or availability.state(client, now_us)[0]

    count = client_count(run)
    asked = np.unique(np.linspace(0, count - 1, min(count, MOST_CLIENTS)).round().astype(int))
    seconds = np.linspace(0, horizon(run), INSTANTS)
    instants = (seconds * MICROSECONDS).astype(np.int64)
    there = np.empty((len(asked), len(seconds)), dtype=bool)
    for row, client in enumerate(asked.tolist()):
        for column, instant in enumerate(instants.tolist()):
            there[row, column] = is_scheduled(client, instant)
    if has_batteries(clients):
        place = {client: row for row, client in enumerate(asked.tolist())}
        for client, begin, end in charged(run, is_scheduled):
            if client in place:
                away = (instants >= begin) & (True if end is None else instants < end)
                there[place[client], away] = False
    of = run.client_groups
    if not len(of):
        return seconds, {"": there.mean(axis=0)}
    mine = of.to_numpy()[asked]
    return seconds, {
        name: there[mine == name].mean(axis=0) for name in of.cat.categories if (mine == name).any()
    }


def _draw_presence(axes: Axes, run: Run, style: Style) -> None:
    seconds, shares = present(run)
    names = names_of_groups([run]) or [""]
    for name, share in shares.items():
        color = style.colors.ink if name == "" else _color(names.index(name), style)
        axes.step(seconds, 100 * share, where="post", color=color, linewidth=1.6 * style.stroke)


def _color(index: int, style: Style) -> str:
    return style.colors.palette[index % len(style.colors.palette)]


def _name_groups(figure: Figure, shown: Sequence[Group], style: Style) -> None:
    names = names_of_groups([group.first for group in shown])
    handles = [
        Line2D(
            [], [], color=_color(index, style), linewidth=1.6 * style.stroke, label=drawable(name)
        )
        for index, name in enumerate(names)
    ]
    if handles:
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=1 if style.is_narrow else min(4, len(handles)),
            fontsize="small",
        )
