"""The data of the page's own charts: accuracy and the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from afl_sim.recording import Run
from analysis.figures.learning import has_accuracy
from analysis.figures.timeline import LEGS, choose_clients, legs
from analysis.measures import has_events, times_to_accuracy
from analysis.registry import holds
from analysis.replications import groups
from analysis.series import horizon
from analysis.theme import STYLES, look_of

CLIENTS: Final = 60
MOST_TASKS: Final = 20_000
DASHES: Final = {"-": "", "--": "7 3", ":": "2 2", "-.": "7 2 2 2"}
"""A line's dashes as SVG has them, by the name that matplotlib has for it."""


def accuracy_data(runs: Sequence[Run]) -> dict[str, Any] | None:
    """A line per run: virtual seconds and accuracy (%); None where no run trained."""
    lines: list[dict[str, Any]] = []
    for group in groups(runs):
        look = look_of(group, STYLES["paper"])
        for run in group.runs:
            if not holds(run, has_accuracy):
                continue
            rows = run.metrics[run.metrics["accuracy"].notna()]
            label = group.short if len(group.runs) == 1 else run.label
            lines.append(
                {
                    "label": label,
                    "setting": group.short,
                    "color": look.color,
                    "dash": DASHES[look.line],
                    "x": _rounded(rows["time_us"].to_numpy() / 1e6),
                    "y": _rounded(100 * rows["accuracy"].to_numpy()),
                }
            )
    if not lines:
        return None
    end = max(line["x"][-1] for line in lines) or 1.0
    targets = sorted({100 * target for run in runs for target in times_to_accuracy(run)})
    return {"lines": lines, "targets": targets, "end": 1.02 * end}


def timeline_data(run: Run) -> dict[str, Any] | None:
    """What up to 60 clients do: spans by leg and client in virtual seconds, begin after end.

    Of a run with very many tasks only its beginning; ``end`` says until when. None without tasks.
    """
    if not has_events(run) or not len(run.tasks):
        return None
    chosen = choose_clients([run], CLIENTS)[::-1]  # the slowest at the top
    mine = run.tasks[run.tasks["client"].isin(chosen)]
    end = horizon(run)
    if len(mine) > MOST_TASKS:
        end = float(mine["dispatched"].iloc[MOST_TASKS]) / 1e6
        mine = mine.iloc[:MOST_TASKS]
    spans: dict[str, list[list[float]]] = {leg: [] for leg in LEGS}
    lost = []
    for client in chosen:
        tasks = mine[mine["client"] == client]
        for leg, found in legs(tasks, end).items():
            spans[leg].append(_rounded(np.array(found).ravel()))
        gone = tasks.loc[tasks["cancelled"].notna() | tasks["failed"].notna(), "ended"]
        lost.append(_rounded(gone.to_numpy(dtype="float64") / 1e6))
    made = run.events.loc[(run.events["kind"] == "aggregated").to_numpy(), ["time_us", "version"]]
    made = made.drop_duplicates("version")
    made = made[made["time_us"] <= end * 1e6].head(MOST_TASKS)
    versions = [
        [round(time / 1e6, 6), int(version)]
        for time, version in zip(made["time_us"], made["version"], strict=True)
    ]
    return {
        "clients": [int(client) for client in chosen],
        "legs": spans,
        "lost": lost,
        "versions": versions,
        "end": end or 1.0,
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 6) for value in values]
