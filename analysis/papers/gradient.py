"""The figure of papers that measure by the gradient of the objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from afl_sim.analysis.figures.gradient import gradient_norm
from afl_sim.analysis.theme import new_figure, themed
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gradient_norms(runs: Sequence[Run]) -> Figure:
    """Squared gradient norms against time; an empty figure where nothing has been trained."""
    if runs:
        return gradient_norm(runs)
    with themed() as style:
        figure = new_figure(style.width, style.height)
        axes = figure.subplots()
        axes.set_xlabel("virtual time (s)")
        axes.set_ylabel("squared gradient norm")
    return figure
