"""Network traffic: its amount over time, and the load of the server's links."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from afl_sim.analysis.figures.panels import fit, virtual_time
from afl_sim.analysis.replications import short_names
from afl_sim.analysis.series import horizon
from afl_sim.analysis.theme import Style, note_left_out, themed
from afl_sim.analysis.transfers import DIRECTIONS, Occupancy, transfer_batches
from afl_sim.analysis.usable import usable
from afl_sim.analysis.view import View
from afl_sim.recording import Run

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPANS: Final = 120
_LACKING: Final = "no transfer took time"


def network(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """A row per setting, of its first run: bytes moved, transfers under way, load of the server.

    Left, bytes (MB, 10^6) by direction over virtual time (s). In the middle, how many transfers
    are under way on average in each of 120 spans, and thin, those in line for the server's link
    where it serves first come, first served. Right, where transfers contend for the server's links,
    the share of their capacity (%) in use. Transfers that took no time count by their bytes. Those
    that had not ended when the run did are not counted, so that lines may fall at the end.

    Raises:
        CannotDraw: no run has a transfer that took time.
    """
    shown, others = usable(runs, _some, _LACKING)
    limited = any(_slots(group.first, way) for group in shown for way in DIRECTIONS)
    with themed(style) as chosen:
        columns = 1 if chosen.is_narrow else 3 if limited else 2
        per_group = (3 if limited else 2) if chosen.is_narrow else 1
        rows = len(shown) * per_group
        figure = chosen.new_figure(0.7 + rows * (0.36 * chosen.height + 0.55))
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        step = 3 if limited else 2
        names = short_names(shown, 22 if columns > 1 else 30)
        for row, (group, name) in enumerate(zip(shown, names, strict=True)):
            mine = list(panels[row * step : (row + 1) * step])
            _draw_run(mine, group.first, chosen)
            mine[0].set_title(f"{name}: bytes" if len(shown) > 1 else "Bytes moved")
        for axes in panels:
            fit(axes, view)
        _legend(figure, shown[0].first, chosen)
    note_left_out(figure, others)
    return figure


def _draw_run(panels: Sequence[Axes], run: Run, style: Style) -> None:
    length = horizon(run)
    edges = np.linspace(0, length, SPANS + 1)
    centre = (edges[:-1] + edges[1:]) / 2
    with ExitStack() as stack:
        traffic = {way: stack.enter_context(_Traffic(run, way, edges)) for way in DIRECTIONS}
        for table in transfer_batches(run, instant=True):
            for way, mine in table.groupby("direction", sort=False):
                traffic[str(way)].add(mine)
        for way, color in zip(DIRECTIONS, _colors(style), strict=True):
            mine = traffic[way]
            if not mine.seen:
                continue
            stroke = 1.6 * style.stroke
            panels[0].plot(edges, mine.bytes_until / 1e6, color=color, linewidth=stroke)
            panels[1].plot(centre, mine.whole.mean(), color=color, linewidth=stroke)
            slots = _slots(run, way)
            if _server_link(run, way).get("kind") == "fifo":
                waiting = mine.link.mean(least=slots)
                panels[1].plot(centre, waiting, color=color, linewidth=0.7 * style.stroke)
            if slots and len(panels) > 2:
                busy = mine.link.mean(most=slots) / slots
                panels[2].plot(centre, 100 * busy, color=color, linewidth=stroke)
    panels[0].set_ylabel("bytes (MB)")
    panels[1].set(ylabel="transfers", title="In progress at a time")
    for axes in panels[:2]:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    for axes in panels:
        axes.set_xlim(0, length)
        axes.set_ylim(bottom=0)
        virtual_time(axes, 4)
    if len(panels) > 2:
        panels[2].set(ylabel="busy (%)", title="Server's links")
        panels[2].set_ylim(0, 105)


class _Traffic(ExitStack):
    """The transfers of one direction, as they are added.

    Attributes:
        seen: whether there is any.
        bytes_until: bytes of those that were over at each edge.
        whole: how many are under way.
        link: how many are on the server's link or in line for it.
    """

    def __init__(self, run: Run, way: str, edges: npt.NDArray[np.float64]) -> None:
        super().__init__()
        self.seen = False
        self.bytes_until = np.zeros(len(edges))
        self._edges = edges
        self.whole = Occupancy(edges)
        self.link = self.enter_context(Occupancy(edges, clipped=_slots(run, way) > 0))

    def add(self, table: pd.DataFrame) -> None:
        """Take further transfers, as `transfer_batches` gives them."""
        self.seen = True
        begin, end = table["begin"].to_numpy(), table["end"].to_numpy()
        first = np.searchsorted(self._edges, end, side="left")
        sizes = np.bincount(first, weights=table["bytes"], minlength=len(self._edges) + 1)
        self.bytes_until += np.cumsum(sizes)[: len(self._edges)]
        self.whole.add(begin, end)
        self.link.add(table["link_begin"].to_numpy(), table["link_end"].to_numpy())


def _some(run: Run) -> bool:
    return any(len(table) for table in transfer_batches(run))


def _server_link(run: Run, way: str) -> dict[str, Any]:
    server = run.scenario.get("server")
    link = server.get(way) if isinstance(server, dict) else None
    return link if isinstance(link, dict) else {}


def _slots(run: Run, way: str) -> int:
    """How many transfers the server's link serves at its full bandwidth; 0 where it is no limit."""
    link = _server_link(run, way)
    return {"fifo": int(link.get("slots") or 1), "shared": 1}.get(str(link.get("kind")), 0)


def _colors(style: Style) -> tuple[str, str]:
    return style.colors.legs[0], style.colors.legs[2]


def _legend(figure: Figure, run: Run, style: Style) -> None:
    handles = [
        Line2D([], [], color=color, linewidth=1.6 * style.stroke, label=way)
        for way, color in zip(DIRECTIONS, _colors(style), strict=True)
    ]
    in_line = [way for way in DIRECTIONS if _server_link(run, way).get("kind") == "fifo"]
    if in_line:
        ink = style.colors.ink
        handles.append(Line2D([], [], color=ink, linewidth=0.7 * style.stroke, label="in line"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")
