"""The gradient of the objective over virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from afl_sim.analysis.curves import median_curve
from afl_sim.analysis.figures.lines import draw_curve, key_fewer, name_fewer
from afl_sim.analysis.figures.panels import virtual_time
from afl_sim.analysis.registry import usable
from afl_sim.analysis.theme import label_legend, look_of, new_figure, note_left_out, themed
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LACKING = "no evaluation.squared_gradient_norm"


def has_gradient(run: Run) -> bool:
    """Whether a run has an evaluation of the gradient that a logarithmic axis can show."""
    return bool((run.metrics["squared_gradient_norm"] > 0).any())


def gradient_norm(runs: Sequence[Run], *, style: str = "paper") -> Figure:
    """One line per setting: ``||grad f||^2`` of the training objective against virtual time (s).

    Over replications the line is their median, and the band goes from the lower to the upper
    quartile. Where some of the replications have ended, or have no number, a lighter line without a
    band is the median of the others, labelled with their number.

    Raises:
        CannotDraw: no run has evaluated the gradient.
    """
    shown, others = usable(runs, has_gradient, LACKING)
    with themed(style) as chosen:
        figure = new_figure(chosen.width, chosen.height)
        axes = figure.subplots()
        for group in shown:
            curve = median_curve(group.runs, "time", "squared_gradient_norm")
            draw_curve(axes, curve, look_of(group, chosen), chosen)
        axes.set_xlim(left=0)
        axes.margins(x=0.02)
        axes.set_yscale("log")
        virtual_time(axes)
        axes.set_ylabel("squared gradient norm")
        key_fewer(axes, chosen)
        label_legend(figure, axes, chosen)
        name_fewer(figure, [axes], chosen)
    note_left_out(figure, others)
    return figure
