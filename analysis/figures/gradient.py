"""The gradient of the objective over virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from afl_sim.analysis.curves import median_curve
from afl_sim.analysis.figures.lines import PLACES, draw_curve, key_fewer, name_fewer
from afl_sim.analysis.figures.panels import fit, progress
from afl_sim.analysis.theme import Style, label_legend, look_of, note_left_out, themed
from afl_sim.analysis.usable import usable
from afl_sim.analysis.view import View, along_of
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LACKING = "no evaluation.squared_gradient_norm"


def has_gradient(run: Run) -> bool:
    """Whether a run has an evaluation of the gradient that a logarithmic axis can show."""
    return bool((run.metrics["squared_gradient_norm"] > 0).any())


def gradient_norm(
    runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
) -> Figure:
    """One line per setting: ``||grad f||^2`` of the training objective against virtual time (s).

    A view may name something else than time.

    Over replications the line is their median, and the band goes from the lower to the upper
    quartile. Where some of the replications have ended, or have no number, a lighter line without a
    band is the median of the others, labelled with their number.

    Raises:
        CannotDraw: no run has evaluated the gradient.
    """
    shown, others = usable(runs, has_gradient, LACKING)
    x = along_of(view)
    with themed(style) as chosen:
        figure = chosen.new_figure(chosen.height)
        axes = figure.subplots()
        for group in shown:
            curve = median_curve(group.runs, x, "squared_gradient_norm")
            draw_curve(axes, curve, look_of(group, chosen), chosen)
        progress(axes, x)
        axes.margins(x=0.02)
        axes.set_yscale("log")
        fit(axes, view, from_zero=True)
        axes.set_ylabel("squared gradient norm")
        key_fewer(axes, chosen)
        label_legend(figure, axes, chosen)
        name_fewer(figure, [axes], chosen, PLACES[x])
    note_left_out(figure, others)
    return figure
