"""A figure: a pure function of runs."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from afl_sim import Run
from afl_sim.analysis import CannotDraw


def shares(runs: Sequence[Run]) -> Figure:
    """How many updates each client has contributed, a line for each run."""
    used = [run.tasks[run.tasks.fate == "aggregated"] for run in runs]
    if not any(map(len, used)):
        raise CannotDraw("they have no aggregated updates")
    figure, axes = plt.subplots(layout="constrained")
    for run, tasks in zip(runs, used, strict=True):
        counts = tasks.groupby("client").size().sort_values(ascending=False)
        axes.plot(range(1, len(counts) + 1), counts.to_numpy(), marker=".", label=run.label)
    axes.set(xlabel="client, from the busiest one", ylabel="updates")
    axes.legend()
    return figure
