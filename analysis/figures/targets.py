"""When each setting reached the targets, and which settings did not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from afl_sim.analysis.figures.panels import fit, virtual_time
from afl_sim.analysis.measures import has_ended
from afl_sim.analysis.metrics import Goal, column_of, order_of, text_of, times_to_targets
from afl_sim.analysis.replications import Group, short_names
from afl_sim.analysis.series import horizon
from afl_sim.analysis.statistics import median_time, student_interval
from afl_sim.analysis.theme import Style, look_of, note_left_out, themed
from afl_sim.analysis.usable import usable
from afl_sim.analysis.view import View
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LACKING = "no targets, or no evaluations"


def time_to_accuracy(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """One panel per target: a bar per setting as long as the virtual time (s) that it took.

    Over replications the bar is the mean with Student's 95 % interval if all of them reached the
    target, else the median, which counts what was not reached as later than all; how many reached
    it is written beside it. A setting without either has a hatched outline as long as its run.

    Raises:
        CannotDraw: no run has targets and evaluations.
    """
    shown, others = usable(runs, lambda run: bool(times_to_targets(run)), _LACKING)
    targets = sorted(
        {goal for group in shown for run in group.runs for goal in times_to_targets(run)},
        key=lambda goal: order_of(column_of(goal)),
    )
    with themed(style) as chosen:
        side_by_side = not chosen.is_narrow and len(targets) < 4
        rows, columns = (1, len(targets)) if side_by_side else (len(targets), 1)
        one = 0.75 * chosen.stroke + 0.34 * chosen.stroke * len(shown)
        figure = chosen.new_figure(max(one, 1.5) * rows)
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, target in zip(panels, targets, strict=True):
            for row, group in enumerate(shown):
                _draw_bar(axes, row, group, target, chosen)
            axes.set_title(f"to {text_of(target)}")
            axes.grid(axis="y", visible=False)
            virtual_time(axes, 4)
        names = short_names(shown, 18 if chosen.is_narrow else 26)
        panels[0].set_yticks(range(len(shown)), names)
        panels[0].set_ylim(len(shown) - 0.4, -0.6)
        room = 1.45 if all(len(group.runs) == 1 for group in shown) else 1.9  # for what is written
        longest = max(axes.dataLim.x1 for axes in panels) or 1.0  # 0: nothing takes any time
        panels[0].set_xlim(0, room * longest)
        fit(panels[0], view)  # shared by all
    note_left_out(figure, others)
    return figure


def _draw_bar(axes: Axes, row: int, group: Group, target: Goal, style: Style) -> None:
    ended = [run for run in group.runs if has_ended(run)]
    found = [times_to_targets(run) for run in ended or group.runs]
    times = [values[target] for values in found if target in values]
    if not times:
        _write(axes, 0.0, row, "no such target", style)
        return
    color = look_of(group, style).color
    reached = [time for time in times if time is not None]
    count = "" if len(times) == 1 else f" ({len(reached)} of {len(times)})"
    interval = student_interval(reached if len(reached) == len(times) else [])
    middle = interval.mean if interval.n else median_time(times)
    if middle is None:
        length = max(horizon(run) for run in group.runs)
        axes.barh(row, length, 0.62, fill=False, hatch="////", edgecolor=color, linewidth=0.8)
        why = "reached" if reached else "not reached" if ended else "not reached so far"
        _write(axes, length, row, why + count, style)
        return
    axes.barh(row, middle, 0.62, color=color)
    end = middle
    if interval.is_known:
        axes.hlines(row, interval.low, interval.high, color=style.colors.ink, lw=1.3 * style.stroke)
        end = max(end, interval.high)
    text = f"{middle:,.0f} s" if middle >= 10 else f"{middle:.3g} s"
    if not interval.n:
        text = f"median {text}{count}"
    _write(axes, end, row, text, style)


def _write(axes: Axes, at: float, row: int, text: str, style: Style) -> None:
    axes.annotate(
        text,
        (at, row),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize="small",
        color=style.colors.ink,
    )
