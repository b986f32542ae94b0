"""Links whose bandwidth follows a trace: what they offer, and what transfers had of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from afl_sim.analysis.figures.fleet import MOST_CLIENTS, clients_of
from afl_sim.analysis.figures.panels import fit, virtual_time
from afl_sim.analysis.registry import usable
from afl_sim.analysis.replications import short_names
from afl_sim.analysis.series import client_count, horizon
from afl_sim.analysis.theme import Style, note_left_out, themed
from afl_sim.analysis.transfers import DIRECTIONS, transfer_batches
from afl_sim.analysis.view import View
from afl_sim.recording import Run
from afl_sim.scenario.traces.bandwidth_trace import BandwidthTrace
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
_LACKING: Final = "no client has a link with a bandwidth_trace"


def bandwidth(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """A row per setting, of its first run, and a panel per direction with a trace of bandwidth.

    A line and a band over virtual time (s): the mean and the middle 80 % of the bandwidth (kB/s) of
    the clients' links, whether they are used or not. A dashed line: the mean rate of the transfers
    that are under way, in each of 60 spans. It is lower where transfers last longest on slow links,
    where latency takes time, and where the server's link is narrower. Of more than 2,000 clients,
    2,000 spread over the fleet are asked.

    Raises:
        CannotDraw: no run has such links.
    """
    shown, others = usable(runs, _varies, _LACKING)
    ways = [way for way in DIRECTIONS if any(way in _ways(group.first) for group in shown)]
    with themed(style) as chosen:
        columns = 1 if chosen.is_narrow else len(ways)
        rows = len(shown) * len(ways) // columns
        figure = chosen.new_figure(0.6 + rows * (0.4 * chosen.height + 0.5))
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        names = short_names(shown, 18 if columns > 1 else 30)
        for row, (group, name) in enumerate(zip(shown, names, strict=True)):
            mine = panels[row * len(ways) : (row + 1) * len(ways)]
            for axes, way in zip(mine, ways, strict=True):
                axes.set_title(f"{name}: {way}" if len(shown) > 1 else way.capitalize())
                _draw(axes, group.first, way, chosen)
                fit(axes, view, from_zero=True)
        _legend(figure, _color(ways[0], chosen) if len(ways) == 1 else chosen.colors.ink, chosen)
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
            rates.append(_rates(link.trace, row, instants + phase_us))
    return seconds, np.array(rates).reshape(len(rates), INSTANTS)


def _rates(trace: BandwidthTrace, row: int, instants: npt.NDArray[np.int64]) -> Floats:
    """The bandwidth of a link of the trace at some microseconds (bytes per second)."""
    link = trace.links[row]
    ends = np.asarray(link.ends_us, dtype=np.int64)
    if trace.after_end == "repeat":
        instants = instants % ends[-1]
    piece = np.minimum(np.searchsorted(ends, instants, side="right"), len(ends) - 1)
    return np.asarray(link.rates, dtype=np.float64)[piece]


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
            total += _until(edges, begin, weight) - _until(edges, end, weight)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = np.where(np.diff(spent) > 1e-6, np.diff(moved) / np.diff(spent), np.nan)
    return mean


def _until(edges: Floats, times: Floats, weights: Floats) -> Floats:
    """At each edge, the sum over earlier times of the weight times how long ago that was."""
    first = np.searchsorted(edges, times, side="left")
    size = len(edges) + 1
    slope, at = (
        np.cumsum(np.bincount(first, weights=each, minlength=size))[: len(edges)]
        for each in (weights, weights * times)
    )
    total: Floats = slope * edges - at
    return total


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
    axes.set_xlim(0, length)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("bandwidth (kB/s)")
    axes.yaxis.set_major_locator(MaxNLocator(4))
    virtual_time(axes, 4)


def _varies(run: Run) -> bool:
    # A trace that is no longer there is told here.
    return bool(_ways(run)) and clients_of(run).count > 0 and horizon(run) > 0


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


def _legend(figure: Figure, color: str, style: Style) -> None:
    ink, stroke = style.colors.ink, style.stroke
    handles = [
        Line2D([], [], color=color, linewidth=1.6 * stroke, label="mean of links"),
        Patch(color=color, alpha=0.2, linewidth=0, label="middle 80 %"),
        Line2D(
            [], [], color=ink, linestyle="--", linewidth=1.2 * stroke, label="mean of transfers"
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")
