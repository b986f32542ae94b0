"""Links whose bandwidth follows a trace: what they offer, and what transfers had of it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from afl_sim.analysis.figures.fleet import MOST_CLIENTS, clients_of
from afl_sim.analysis.figures.panels import fit, virtual_time
from afl_sim.analysis.figures.server_links import (
    carried_by_server,
    contended_ways,
    is_traced,
    offered_by_server,
    rates_of,
    until,
)
from afl_sim.analysis.replications import short_names
from afl_sim.analysis.series import client_count, horizon
from afl_sim.analysis.theme import Style, note_left_out, themed
from afl_sim.analysis.transfers import DIRECTIONS, transfer_batches
from afl_sim.analysis.usable import usable
from afl_sim.analysis.view import View
from afl_sim.recording import Run
from afl_sim.streams import Streams
from afl_sim.world.clients.grouping import grouping_of
from afl_sim.world.links.traced import traced_links
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.shuffles import with_shuffles

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Floats = npt.NDArray[np.float64]

INSTANTS: Final = 400
SPANS: Final = 60
_LACKING: Final = "no client has a link with a bandwidth_trace, nor has the server"


def bandwidth(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """A row per setting, of its first run, and a panel per direction with a trace of bandwidth.

    A line and a band over virtual time (s): the mean and the middle 80 % of the bandwidth (kB/s) of
    the clients' links, whether they are used or not. A dashed line: the mean rate of the transfers
    that are under way, in each of 60 spans. It is lower where transfers last longest on slow links,
    where latency takes time, and where the server's link is narrower. Of more than 2,000 clients,
    2,000 spread over the fleet are asked.

    A link of the server for which transfers contend has a panel of its own: a line for its
    bandwidth, and a dotted one for what it moved in each span, of all transfers together. A
    transfer counts evenly over its time there, waiting included, so that the dotted line can be
    above the other one for a while.

    Raises:
        CannotDraw: no run has such links.
    """
    shown, others = usable(runs, _varies, _LACKING)
    kinds = [kind for kind in _KINDS if any(kind in _panels(group.first) for group in shown)]
    with themed(style) as chosen:
        columns = 1 if chosen.is_narrow else min(2, len(kinds))
        rows = len(shown) * -(-len(kinds) // columns)
        figure = chosen.new_figure(0.6 + rows * (0.4 * chosen.height + 0.5))
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        names = short_names(shown, 18 if columns > 1 else 30)
        for row, (group, name) in enumerate(zip(shown, names, strict=True)):
            mine = panels[row * len(panels) // len(shown) :]
            for axes, (way, of_server) in zip(mine, kinds, strict=False):
                title = f"server {way}" if of_server else way
                axes.set_title(f"{name}: {title}" if len(shown) > 1 else title.capitalize())
                if of_server:
                    _draw_server(axes, group.first, way, chosen)
                else:
                    _draw(axes, group.first, way, chosen)
                fit(axes, view, from_zero=True)
            if len(kinds) % columns:
                mine[len(kinds)].set_visible(False)  # each setting begins a row
        ways = {way for way, _ in kinds}
        color = _color(ways.pop(), chosen) if len(ways) == 1 else chosen.colors.ink
        _legend(figure, color, {of_server for _, of_server in kinds}, chosen)
    note_left_out(figure, others)
    return figure


def offered(run: Run, way: str) -> tuple[Floats, Floats]:
    """Instants (s), and the bandwidth of the clients' links at them (bytes per second).

    Clients whose bandwidth in this direction is constant are left out.

    Returns:
        shapes (400,) and (clients, 400).
    """
    clients, streams = clients_of(run), Streams(run.scenario["seed"])
    grouping = grouping_of(with_shuffles(clients, streams, "clients"), streams)
    links = grouping.choose(
        [
            traced_links(part.clients.network, streams, part.place, part.links).get(way)
            for part in grouping.parts
        ]
    )
    count = client_count(run)
    asked = np.unique(np.linspace(0, count - 1, min(count, MOST_CLIENTS)).round().astype(int))
    seconds = np.linspace(0, horizon(run), INSTANTS)
    instants = (seconds * MICROSECONDS).astype(np.int64)
    rates = []
    for client in asked.tolist():
        link = links(client)
        if link is not None:
            row, phase_us = link.position(client)
            rates.append(rates_of(link.trace, row, instants + phase_us))
    return seconds, np.array(rates).reshape(len(rates), INSTANTS)


def met(run: Run, way: str, edges: Floats) -> Floats:
    """The mean rate of the transfers under way in each span (bytes per second); NaN: there is none.

    A transfer moves its bytes evenly over its time.
    """
    moved, spent = np.zeros(len(edges)), np.zeros(len(edges))
    for table in transfer_batches(run):
        mine = table[table["direction"] == way]
        begin, end = mine["begin"].to_numpy(), mine["end"].to_numpy()
        rate = mine["bytes"].to_numpy() / (end - begin)
        for total, weight in ((moved, rate), (spent, np.ones(len(rate)))):
            total += until(edges, begin, weight) - until(edges, end, weight)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = np.where(np.diff(spent) > 1e-6, np.diff(moved) / np.diff(spent), np.nan)
    return mean


def _draw(axes: Axes, run: Run, way: str, style: Style) -> None:
    length, color = horizon(run), _color(way, style)
    seconds, rates = offered(run, way)
    if len(rates):
        low, high = np.quantile(rates / 1e3, (0.1, 0.9), axis=0)
        axes.fill_between(seconds, low, high, color=color, alpha=0.2, linewidth=0, step="post")
        mean = rates.mean(axis=0) / 1e3
        axes.step(seconds, mean, where="post", color=color, linewidth=1.6 * style.stroke)
    edges = np.linspace(0, length, SPANS + 1)
    used = met(run, way, edges) / 1e3
    ink, stroke = style.colors.ink, 1.2 * style.stroke
    axes.plot((edges[:-1] + edges[1:]) / 2, used, "--", color=ink, linewidth=stroke)
    _label(axes, length)


def _draw_server(axes: Axes, run: Run, way: str, style: Style) -> None:
    length = horizon(run)
    if way in contended_ways(run):
        seconds = np.linspace(0, length, INSTANTS)
        rates = offered_by_server(run, way, seconds) / 1e3
        color, stroke = _color(way, style), 1.6 * style.stroke
        axes.step(seconds, rates, where="post", color=color, linewidth=stroke)
        edges = np.linspace(0, length, SPANS + 1)
        moved = carried_by_server(run, way, edges) / 1e3
        ink, stroke = style.colors.ink, 1.2 * style.stroke
        axes.plot((edges[:-1] + edges[1:]) / 2, moved, ":", color=ink, linewidth=stroke)
    _label(axes, length)


def _label(axes: Axes, length: float) -> None:
    axes.set_xlim(0, length)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("bandwidth (kB/s)")
    axes.yaxis.set_major_locator(MaxNLocator(4))
    virtual_time(axes, 4)


def _panels(run: Run) -> list[tuple[str, bool]]:
    """What has a panel: directions, and whether it is the server's link."""
    return [
        *((way, False) for way in _ways(run)),
        *((way, True) for way in contended_ways(run)),
    ]


_KINDS: Final = [(way, of_server) for way in DIRECTIONS for of_server in (False, True)]


def _varies(run: Run) -> bool:
    # A trace that is no longer there is told here.
    traced = _ways(run) or any(is_traced(run, way) for way in contended_ways(run))
    return bool(traced) and clients_of(run).count > 0 and horizon(run) > 0


def _ways(run: Run) -> list[str]:
    """The directions in which some clients have a trace of bandwidth."""
    clients: Any = run.scenario.get("clients")
    blocks = [clients, *(clients.get("groups") or [])] if isinstance(clients, dict) else []
    return [way for way in DIRECTIONS if any(_is_traced(block, way) for block in blocks)]


def _is_traced(block: Any, way: str) -> bool:
    link = (block.get("network") or {}).get(way) or {}
    return link.get("bandwidth_trace") is not None


def _color(way: str, style: Style) -> str:
    return style.colors.legs[0] if way == "download" else style.colors.legs[2]


def _legend(figure: Figure, color: str, servers: Set[bool], style: Style) -> None:
    ink, stroke = style.colors.ink, style.stroke
    link = {False: "mean of links", True: "server's link"}
    label = ", ".join(link[of_server] for of_server in sorted(servers))
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=color, linewidth=1.6 * stroke, label=label)
    ]
    if False in servers:
        handles += [
            Patch(color=color, alpha=0.2, linewidth=0, label="middle 80 %"),
            Line2D(
                [], [], color=ink, linestyle="--", linewidth=1.2 * stroke, label="mean of transfers"
            ),
        ]
    if True in servers:
        handles.append(
            Line2D(
                [], [], color=ink, linestyle=":", linewidth=1.2 * stroke, label="sum of transfers"
            )
        )
    columns = 2 if len(handles) == 4 else 3
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize="small")
