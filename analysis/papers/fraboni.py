"""Fraboni et al. (JMLR 2023): staleness of each client, and which objective a weighting fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from afl_sim.analysis.curves import mean_curve
from afl_sim.analysis.figures.lines import draw_line, key_fewer, name_fewer
from afl_sim.analysis.replications import seed
from afl_sim.analysis.theme import MARKERS, PALETTE, new_figure, themed
from afl_sim.recording import Run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
METHODS: Final = ("weight", "identical", "FedFix-0.5", "FedBuff-5", "FedAvg")
LINES: Final = ("-", "-", "--", "--", ":")  # equals lie on top of each other
LEVELS: Final = (0, 0.1, 10000)
SHOWN: Final = {0: "client 0 (tau 1)", 9: "client 9 (tau 0.2)"}


def measure(
    studies: Mapping[str, Sequence[Run]],
) -> dict[str, dict[str, list[float | None]] | list[bool]]:
    """The rows and claims of ``target.yaml``."""
    found: dict[str, Any] = {}
    if "staleness" in studies:
        found |= _staleness(studies["staleness"])
    if "learning" in studies:
        found |= _learning(studies["learning"])
    if "local-steps" in studies:
        losses = {
            name: [final_loss(run) for run in _of(studies["local-steps"], name, 0)]
            for name in ("weight", "identical")
        }
        found["loss_10_steps"] = losses
        found["weight_fits_10_steps"] = _less(losses["weight"], losses["identical"])
    return found


def method(run: Run) -> str:
    """What the paper calls a run's strategy."""
    strategy = run.scenario["strategy"]
    if strategy["kind"] == "async_weighted":
        return "weight" if strategy["weights"] == "unbiased" else "identical"
    if strategy["kind"] == "fedfix":
        return f"FedFix-{strategy['interval']:g}"
    return f"FedBuff-{strategy['buffer_size']}" if strategy["kind"] == "fedbuff" else "FedAvg"


def final_loss(run: Run) -> float:
    """The federated loss at the end: clients are of one size, so it is the mean over samples."""
    return float(run.evaluations.loss.iloc[-1])


def accuracy_by_client(run: Run, evaluations: int) -> Floats:
    """Each client's accuracy, shape (clients,), where each holds one class and no two the same.

    Args:
        run: its evaluations are on what clients hold.
        evaluations: how many of the last are averaged.
    """
    by_class = np.stack(run.evaluations.class_accuracy.iloc[-evaluations:].to_numpy())
    held = run.label_counts.to_numpy().argmax(axis=1)
    means: Floats = by_class.mean(axis=0)[held]
    return means


def bias(run: Run) -> float:
    """Accuracy on the fast half of the clients less that on the slow half; client 0 is slowest.

    Over the last fifth of the evaluations: which class has just been trained decides each of them.
    """
    accuracy = accuracy_by_client(run, len(run.evaluations) // 5)
    half = len(accuracy) // 2
    return float(accuracy[half:].mean() - accuracy[:half].mean())


def _staleness(runs: Sequence[Run]) -> dict[str, Any]:
    found: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        used = _aggregated(run)
        by_client = used.groupby("client").staleness.mean()
        name = method(run)
        if name == "weight":
            rows = {SHOWN.get(c, f"client {c}"): by_client[c] for c in by_client.index}
            found["staleness"] = _single({**rows, "all updates": used.staleness.mean()})
        elif name == "FedBuff-5":
            rows = {label: by_client[client] for client, label in SHOWN.items()}
            found["staleness_fedbuff"] = _single({**rows, "all updates": used.staleness.mean()})
        else:
            fast = used.client >= 6
            found["staleness_fedfix"] = _single(
                {
                    "clients 0 to 5": used.staleness[~fast].mean(),
                    "clients 6 to 9": used.staleness[fast].mean(),
                }
            )
    return found


def _aggregated(run: Run) -> pd.DataFrame:
    """The client and the staleness of each aggregated update."""
    events = run.event_columns("kind", "client", "staleness")
    return events[events.kind == "aggregated"]


def _single(rows: Mapping[str, Any]) -> dict[str, list[float]]:
    return {label: [float(value)] for label, value in rows.items()}


def _learning(runs: Sequence[Run]) -> dict[str, Any]:
    losses = {
        (level, name): [final_loss(run) for run in _of(runs, name, level)]
        for level in LEVELS
        for name in METHODS
    }
    biases = {name: [bias(run) for run in _of(runs, name, 0)] for name in METHODS}
    skewed = [_less(losses[level, "weight"], losses[level, "identical"]) for level in LEVELS[:2]]
    fedfix = [
        _less(losses[0, "FedFix-0.5"], losses[0, name]) for name in ("identical", "FedBuff-5")
    ]
    return {
        "loss": {f"alpha {level:g}, {name}": found for (level, name), found in losses.items()},
        "bias": biases,
        "weight_fits": [all(each) for each in zip(*skewed, strict=True)],
        "identical_is_biased": _more_biased(biases, "identical"),
        "fedbuff_is_biased": _more_biased(biases, "FedBuff-5"),
        "fedfix_fits": [all(each) for each in zip(*fedfix, strict=True)],
        "alike_without_skew": [
            abs(a - b) < 0.02 * b
            for a, b in zip(losses[10000, "weight"], losses[10000, "identical"], strict=True)
        ],
    }


def _more_biased(biases: Mapping[str, list[float]], name: str) -> list[bool]:
    return [a > max(b, 0) for a, b in zip(biases[name], biases["weight"], strict=True)]


def _less(a: Sequence[float], b: Sequence[float]) -> list[bool]:
    return [x < y for x, y in zip(a, b, strict=True)]


def _of(runs: Sequence[Run], name: str, level: float) -> list[Run]:
    """The runs of a method at a level of skew, by seed."""
    return [
        run
        for run in sorted(runs, key=seed)
        if method(run) == name and run.scenario["data"]["partition"]["alpha"] == level
    ]


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure | None:
    """Losses over time and accuracy by client; without training, the staleness of each client.

    None where neither was run.
    """
    with themed() as style:
        if "learning" not in studies:
            if "staleness" not in studies:
                return None
            figure = new_figure(style.width, 3.2)
            _staleness_panel(figure.subplots(), studies["staleness"], target)
            return figure
        runs = studies["learning"]
        figure = new_figure(style.width, 6.0)
        grid = figure.add_gridspec(2, len(LEVELS))
        panels: list[Axes] = []
        for column, level in enumerate(LEVELS):
            axes = figure.add_subplot(grid[0, column])
            _losses(axes, runs, level)
            key_fewer(axes, style)
            panels.append(axes)
            axes.set_title(f"Dirichlet alpha {level:g}")
            axes.set_xlabel("virtual time (units)")
            if column == 0:
                axes.set_ylabel("federated loss")
                handles, labels = axes.get_legend_handles_labels()
        _accuracies(figure.add_subplot(grid[1, :2]), runs)
        if "staleness" in studies:
            _staleness_panel(figure.add_subplot(grid[1, 2]), studies["staleness"], target)
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        name_fewer(figure, panels, style, "{} units")
    return figure


def _losses(axes: Axes, runs: Sequence[Run], level: float) -> None:
    for color, line, name in zip(PALETTE, LINES, METHODS, strict=False):
        curve = mean_curve(_of(runs, name, level), "time", "loss")
        draw_line(axes, curve, name, color, line, width=1.6)
    axes.set_yscale("log")
    axes.set_yticks([0.4, 0.6, 1, 2], minor=False)
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter("{x:g}")


def _accuracies(axes: Axes, runs: Sequence[Run]) -> None:
    for color, line, marker, name in zip(PALETTE, LINES, MARKERS, METHODS, strict=False):
        found = _of(runs, name, 0)
        times = [float(t) for t in _task_times(found[0])]
        accuracy = np.mean(
            [accuracy_by_client(run, len(run.evaluations) // 5) for run in found], axis=0
        )
        axes.plot(times, 100 * accuracy, line, marker=marker, color=color, markersize=4)
    axes.set_xlabel("time of the client's tasks (units); one class per client")
    axes.set_ylabel("accuracy on its class (%)")


def _staleness_panel(axes: Axes, runs: Sequence[Run], target: Any) -> None:
    for run in runs:
        if method(run) == "weight":
            used = _aggregated(run)
            mean = used.groupby("client").staleness.mean()
            axes.plot(_task_times(run), mean, "o", color=PALETTE[0], label="measured")
    rows = [row.reported for row in target.tables["staleness"].rows.values()]
    axes.plot(_task_times(runs[0]), rows[:-1], "-", color="0.5", label="expected")
    axes.set_xlabel("time of a task (units)")
    axes.set_ylabel("mean staleness (versions)")
    axes.legend()


def _task_times(run: Run) -> list[float]:
    values: list[float] = run.scenario["clients"]["compute"]["seconds_per_task"]["values"]
    return values
