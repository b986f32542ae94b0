"""What a controller of the server does: the concurrency and the buffer's size over time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.ticker import MaxNLocator

from afl_sim.analysis.figures.panels import fit, virtual_time
from afl_sim.analysis.series import client_count, horizon
from afl_sim.analysis.theme import Style, label_legend, look_of, note_left_out, themed
from afl_sim.analysis.usable import usable
from afl_sim.analysis.view import View
from afl_sim.recording import Run
from afl_sim.world.microseconds import MICROSECONDS

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure

LABELS: Final = {"concurrency": "concurrency (clients)", "buffer_size": "buffer size (updates)"}
_LACKING: Final = "no server.adaptive, so their settings do not change"


def adaptation(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """A panel for each setting that some controller changes: its value over virtual time (s).

    Every run is a line, replications in the same colour. A line begins with the strategy's own
    value, and has a step at each ``adapted`` event.

    Raises:
        CannotDraw: no run has a controller.
    """
    shown, others = usable(runs, _has_controller, _LACKING)
    changed = {name for group in shown for run in group.runs for name in _changed(run)}
    names = [name for name in LABELS if name in changed] or ["concurrency"]
    with themed(style) as chosen:
        figure = chosen.new_figure(0.7 + 0.62 * chosen.height * len(names))
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False).ravel()
        for axes, name in zip(panels, names, strict=True):
            for group in shown:
                look = look_of(group, chosen)
                for k, run in enumerate(group.runs):
                    seconds, values = steps_of(run, name)
                    if not len(values):
                        continue
                    axes.step(
                        seconds,
                        values,
                        where="post",
                        color=look.color,
                        linestyle=look.line,
                        linewidth=(1.6 if k == 0 else 0.8) * chosen.stroke,
                        alpha=1 if k == 0 else 0.6,
                        label=look.label if k == 0 else "_",
                    )
            axes.set_ylabel(LABELS[name])
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.set_ylim(bottom=0)
        virtual_time(panels[-1])
        for axes in panels:
            fit(axes, view, from_zero=True)
        label_legend(figure, panels[0], chosen)
    note_left_out(figure, others)
    return figure


def steps_of(run: Run, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """When a setting changed (s), and its values from then on; the end of the run is the last.

    Both are empty if the strategy does not have the setting.
    """
    begin = run.scenario["strategy"].get(name)
    if begin is None:
        return np.empty(0), np.empty(0, dtype=np.int64)
    first = client_count(run) if begin == "all" else int(begin)
    seconds, values = [0.0], [first]
    for time_us, settings in _adapted(run):
        seconds.append(time_us / MICROSECONDS)
        values.append(int(settings.get(name, values[-1])))
    seconds.append(horizon(run))
    values.append(values[-1])
    return np.array(seconds), np.array(values, dtype=np.int64)


def _adapted(run: Run) -> list[tuple[int, dict[str, Any]]]:
    import pyarrow.compute as pc

    found: list[tuple[int, dict[str, Any]]] = []
    for table in run.event_tables("time_us", "kind", "context"):
        rows = table.filter(pc.equal(table.column("kind").cast("string"), "adapted"))
        times, contexts = (rows.column(name).to_pylist() for name in ("time_us", "context"))
        found += zip(times, map(json.loads, contexts), strict=True)
    return found


def _changed(run: Run) -> list[str]:
    """The settings that do not keep their first value."""
    return [name for name in LABELS if len(set(steps_of(run, name)[1].tolist())) > 1]


def _has_controller(run: Run) -> bool:
    server = run.scenario.get("server")
    return isinstance(server, dict) and server.get("adaptive") is not None and horizon(run) > 0
