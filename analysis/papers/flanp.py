"""FLANP (Reisizadeh et al., arXiv 2012.14453): its schedule, and accuracy against time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from afl_sim.analysis.curves import mean_curve
from afl_sim.analysis.figures.lines import draw_line, key_fewer, name_fewer
from afl_sim.analysis.replications import seed
from afl_sim.analysis.theme import PALETTE, new_figure, themed
from afl_sim.recording import Run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

METHODS: Final = ("FLANP", "FedGATE", "FedAvg")
DOUBLING: Final = [1, 2, 4, 8, 16, 20]


def measure(
    studies: Mapping[str, Sequence[Run]],
) -> dict[str, dict[str, list[float | None]] | list[bool]]:
    """The rows and claims of ``target.yaml``."""
    found: dict[str, Any] = {}
    if "timing" in studies:
        found |= _schedule(by_method(studies["timing"]))
    if "rounds" in studies:
        runs = by_method(studies["rounds"])
        for percent, suffix in ((70, "_70"), (80, "")):
            times = {name: [time_to(run, percent / 100) for run in runs[name]] for name in METHODS}
            rounds = {
                name: [rounds_to(run, percent / 100) for run in runs[name]] for name in METHODS
            }
            found[f"time_to_{percent}"], found[f"rounds_to_{percent}"] = times, rounds
            found[f"flanp_first{suffix}"] = [
                _before(flanp, gate) and _before(flanp, avg)
                for flanp, gate, avg in zip(*(times[name] for name in METHODS), strict=True)
            ]
            found[f"not_by_rounds{suffix}"] = [
                gate is not None and (flanp is None or gate <= flanp)
                for flanp, gate in zip(rounds["FLANP"], rounds["FedGATE"], strict=True)
            ]
    return found


def by_method(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each method, by seed."""
    found: dict[str, list[Run]] = {name: [] for name in METHODS}
    for run in sorted(runs, key=seed):
        found[_method(run)].append(run)
    return found


def _method(run: Run) -> str:
    strategy = run.scenario["strategy"]
    if strategy["kind"] == "fedavg":
        return "FedAvg"
    everybody = strategy["initial_clients"] == run.scenario["clients"]["count"]
    return "FedGATE" if everybody else "FLANP"


def rounds_of(run: Run) -> pd.DataFrame:
    """One row for each round: ``seconds`` that it took, and ``active`` clients."""
    events = run.event_columns("time_us", "kind", "version", "context")
    made = events[events.kind == "aggregated"].groupby("version")
    ends = made.time_us.max() / 1e6
    frame = ends.diff().fillna(ends.iloc[0]).to_frame("seconds")
    frame["active"] = [
        json.loads(context).get("active") if isinstance(context, str) and context else None
        for context in made.context.first()
    ]
    return frame


def time_to(run: Run, accuracy: float) -> float | None:
    """Virtual time of the first evaluation that reaches an accuracy."""
    reached = run.metrics[run.metrics.accuracy >= accuracy]
    return float(reached.time_us.iloc[0]) / 1e6 if len(reached) else None


def rounds_to(run: Run, accuracy: float) -> float | None:
    """Rounds until the first evaluation that reaches an accuracy."""
    reached = run.metrics[run.metrics.accuracy >= accuracy]
    return float(reached.version.iloc[0]) if len(reached) else None


def _schedule(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    totals = {
        name: [float(run.summary["virtual_seconds"]) for run in runs[name]] for name in METHODS
    }
    lengths: dict[str, list[float]] = {str(active): [] for active in DOUBLING}
    doubles = []
    for run in runs["FLANP"]:
        frame = rounds_of(run)
        by_stage = frame.groupby("active", sort=False).seconds
        doubles.append([int(active) for active in by_stage.groups] == DOUBLING)
        for active, seconds in by_stage.mean().items():
            lengths.setdefault(str(int(active)), []).append(float(seconds))
    return {"seconds": totals, "stage_rounds": lengths, "doubles": doubles}


def _before(a: float | None, b: float | None) -> bool:
    return a is not None and (b is None or a < b)


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure:
    """Accuracy against time and by round; without training, the rounds' lengths alone."""
    trained = "rounds" in studies
    runs = by_method(studies["rounds" if trained else "timing"])
    with themed() as style:
        figure = new_figure(style.width, 3.2)
        left, right = figure.subplots(1, 2, sharey=trained)
        for color, name in zip(PALETTE, METHODS, strict=False):
            line = ":" if name == "FedAvg" else "-"
            if not trained:
                seconds = rounds_of(runs[name][0]).seconds
                left.step(seconds.cumsum() / 1000, seconds, where="pre", color=color, ls=line)
                right.step(seconds.index, seconds, where="pre", color=color, ls=line, label=name)
                continue
            for axes, axis, scale in ((left, "time", 1000), (right, "versions", 1)):
                curve = mean_curve(runs[name], axis, "accuracy")
                draw_line(axes, curve.scaled(1 / scale), name, color, line)
                if name == "FLANP":
                    _mark_stages(axes, runs[name], axis, scale, color)
        left.set_xlabel("virtual time (thousands of units)")
        right.set_xlabel("round")
        left.set_ylabel("test accuracy (%)" if trained else "length of the round (units)")
        key_fewer(right, style)
        right.legend()
        name_fewer(figure, [left], style, "{} thousand units")
    return figure


def _mark_stages(axes: Any, runs: Sequence[Run], axis: str, scale: float, color: str) -> None:
    curve = mean_curve(runs, axis, "accuracy")
    frame = rounds_of(runs[0])
    begins = frame.index[frame.active.diff().fillna(0) > 0] - 1  # after this round m has grown
    ends = frame.seconds.cumsum()
    for version in begins:
        x = float(version) if axis == "versions" else float(ends[version])
        y = curve.y[np.nanargmin(abs(curve.x - x))]
        axes.plot([x / scale], [y], "o", color=color, markersize=4)
