"""Generalized AsyncSGD's queues (Leconte et al., 2024): throughput and delays, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from afl_sim.analysis.series import staleness_rows
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from afl_sim.analysis.papers.reported import Target

WARM_UP: Final = 0.2
"""The share of the updates, at the beginning, that is left out."""
SAMPLINGS: Final = ("uniform", "speed")
FAST: Final = 5
"""Clients 0 to 4 are the fast ones."""


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """The tables and claims of target.yaml, from the study ``concurrency``."""
    runs = studies["concurrency"]
    rows: dict[str, dict[str, list[float | None]]] = {
        "updates_per_second": {},
        "fast_delay": {},
        "slow_delay": {},
    }
    means: dict[int, list[bool]] = {}
    for run in runs:
        found = figures(run)
        for quantity, values in rows.items():
            values.setdefault(row(run), []).append(found[quantity])
        m = run.scenario["strategy"]["concurrency"]
        good = abs(found["delay"] / (m - 1) - 1) < 0.01
        means.setdefault(run.scenario["seed"], []).append(good)
    rates = {
        sampling: np.array(
            [v for k, v in rows["updates_per_second"].items() if k.startswith(sampling)]
        )
        for sampling in SAMPLINGS
    }
    return {
        **rows,
        "mean_delay": [all(found) for found in means.values()],
        "speed_is_faster": (rates["speed"] > rates["uniform"]).all(axis=0).tolist(),
    }


def row(run: Run) -> str:
    """The label of a run's rows."""
    strategy = run.scenario["strategy"]
    return f"{strategy['sampling']}, m={strategy['concurrency']}"


def figures(run: Run) -> dict[str, float]:
    """A run's throughput (updates per second) and mean delays (versions), its warm-up cut."""
    updates = staleness_rows(run)
    cut = int(WARM_UP * len(updates))
    seconds = updates["seconds"].iloc[-1] - updates["seconds"].iloc[cut - 1]
    steady = updates.iloc[cut:]
    fast = steady["client"] < FAST
    return {
        "updates_per_second": float(len(steady) / seconds),
        "fast_delay": float(steady.loc[fast, "staleness"].mean()),
        "slow_delay": float(steady.loc[~fast, "staleness"].mean()),
        "delay": float(steady["staleness"].mean()),
    }


def draw(studies: Mapping[str, Sequence[Run]], target: Target) -> Figure:
    """Throughput, and the delays of fast and slow clients, with the closed forms as lines."""
    from afl_sim.analysis import theme

    measured = measure(studies)
    panels = {
        "updates_per_second": ("throughput (updates/s)", "throughput"),
        "fast_delay": ("mean delay (versions)", "fast clients"),
        "slow_delay": ("mean delay (versions)", "slow clients"),
    }
    with theme.themed() as style:
        figure = theme.new_figure(1.6 * style.width, style.height)
        for axes, (quantity, (label, title)) in zip(
            figure.subplots(1, 3), panels.items(), strict=True
        ):
            for i, sampling in enumerate(SAMPLINGS):
                labels = [each for each in measured[quantity] if each.startswith(sampling)]
                at = [int(each.partition("=")[2]) for each in labels]
                color = style.colors.palette[i]
                exact = [target.tables[quantity].rows[each].reported for each in labels]
                axes.plot(at, exact, color=color, label=f"{sampling}, closed form")
                values = [measured[quantity][each] for each in labels]
                axes.errorbar(
                    at,
                    [float(np.mean(each)) for each in values],
                    [float(np.std(each, ddof=1)) if len(each) > 1 else 0 for each in values],
                    color=color,
                    marker=theme.MARKERS[i],
                    linestyle="none",
                    capsize=3,
                    label=f"{sampling}, measured",
                )
            axes.set_xlabel("tasks in flight m")
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
            axes.set_title(title)
        theme.label_legend(figure, figure.axes[0], style)
    return figure
