"""The data of the page's own charts: the main metric and the timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.ticker import MaxNLocator

from afl_sim.analysis.activity import (
    LEGS,
    nth_dispatch,
    spans_of,
    tasks_of,
    versions_within,
)
from afl_sim.analysis.curves import curve_of, mean_curve
from afl_sim.analysis.figures.timeline import choose_clients, has_tasks
from afl_sim.analysis.measures import has_events
from afl_sim.analysis.metrics import (
    ACCURACY,
    has_metric,
    is_share,
    label_of,
    scale_of,
    times_to_targets,
)
from afl_sim.analysis.replications import Group, groups
from afl_sim.analysis.report.drawn import SETTINGS, spread
from afl_sim.analysis.series import horizon
from afl_sim.analysis.theme import STYLES, look_of
from afl_sim.analysis.usable import holds
from afl_sim.recording import Run

if TYPE_CHECKING:
    import numpy.typing as npt

    from afl_sim.recording.columns import Columns

CLIENTS: Final = 60
MOST_TASKS: Final = 20_000
MOST_LINES: Final = 60
DASHES: Final = {"-": "", "--": "7 3", ":": "2 2", "-.": "7 2 2 2"}
"""A line's dashes as SVG has them, by the name that matplotlib has for it."""


def metric_data(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Lines of virtual seconds and the main metric (shares in %); None where no run trained.

    The main metric is that of the first run that has one; runs without it are left out. A line per
    run, or of more than `MOST_LINES` runs one per setting: the mean over its seeds, and where some
    of them have ended, fainter, the mean of the others. A number that is missing is None; the line
    has a gap there. Of very many settings it shows those that figures show too.
    """
    every = groups(runs)
    metric = next((run.main_metric for run in runs if run.better), ACCURACY)
    members = []
    for index, chosen in enumerate(spread(every, SETTINGS)):
        group = replace(chosen, index=index)  # the colour that it has in the page's figures
        trained = [run for run in group.runs if holds(run, lambda run: has_metric(run, metric))]
        if trained:
            members.append(group.with_runs(trained))
    if not members:
        return None
    lines, note = [], ""
    if sum(len(group.runs) for group in members) <= MOST_LINES:
        lines = [line for group in members for line in _line_per_run(group, metric)]
    else:
        lines = [line for group in members for line in _lines_of_mean(group, metric)]
        note = (
            "Lines are means over the seeds of a setting; they are fainter after some seeds "
            "have ended."
        )
    if len(every) > SETTINGS:
        note = f"{SETTINGS} of {len(every):,} settings, spread evenly over the study. {note}"
    end = max((x for line in lines for x in line["x"]), default=0.0) or 1.0
    scale = scale_of(metric)
    goals = {goal for run in runs for goal in times_to_targets(run)}
    targets = sorted(scale * target for name, target in goals if name == metric)
    label = label_of(metric)
    return {
        "lines": lines,
        "targets": targets,
        "end": 1.02 * end,
        "note": note,
        "title": label[:1].upper() + label[1:] if metric == ACCURACY else label,
        "unit": " %" if is_share(metric) else "",
        "ticks": _ticks(metric, lines, targets),
    }


def _ticks(
    metric: str, lines: Sequence[Mapping[str, Any]], targets: Sequence[float]
) -> list[float]:
    """Ticks of the axis of values, which goes from the first to the last of them."""
    if is_share(metric):
        return [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    values = [value for line in lines for value in line["y"] if value is not None]
    low, high = min([*values, *targets]), max([*values, *targets])
    ticks = MaxNLocator(5).tick_values(min(low, 0.0), high if high > min(low, 0.0) else low + 1.0)
    return [float(tick) for tick in ticks]


def metric_keys(data: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """The legend of the metric's chart: a name and a style for each setting."""
    seen = (
        {line["setting"]: (line["color"], line["dash"]) for line in data["lines"]} if data else {}
    )
    return [
        {"name": setting, "style": f"background: {_striped(*look)}"}
        for setting, look in seen.items()
    ]


def _line_per_run(group: Group, metric: str) -> list[dict[str, Any]]:
    lines = []
    for run in group.runs:
        curve = curve_of(run, "time", metric)
        label = group.short if len(group.runs) == 1 else run.label
        if run.status != "complete":
            label += f" ({run.status})"
        lines.append(_line(group, label, curve.x, curve.y))
    return lines


def _lines_of_mean(group: Group, metric: str) -> list[dict[str, Any]]:
    curve = mean_curve(group.runs, "time", metric)
    if curve.runs == 1:
        return [_line(group, group.short, curve.x, curve.y)]
    of_all = f"{group.short}, mean of {curve.runs} seeds"
    return [
        _line(group, of_all, curve.x, curve.y),
        *(
            _line(
                group, f"{group.short}, mean of {rest.runs} of {curve.runs} seeds", rest.x, rest.y
            )
            | {"faint": True}
            for rest in curve.fewer
        ),
    ]


def _line(
    group: Group, label: str, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> dict[str, Any]:
    look = look_of(group, STYLES["paper"])
    there = np.isfinite(x)
    return {
        "label": label,
        "setting": group.short,
        "color": look.color,
        "dash": DASHES[look.line],
        "x": _rounded(x[there]),
        "y": [None if np.isnan(value) else round(float(value), 6) for value in y[there]],
    }


def timeline_data(run: Run) -> dict[str, Any] | None:
    """What up to 60 clients do: spans by leg and client in virtual seconds, begin after end.

    Of a run with very many tasks only its beginning: ``end`` says until when, and ``cut`` that it
    is so. None without tasks.
    """
    if not has_events(run) or not has_tasks(run):
        return None
    chosen = choose_clients([run], CLIENTS)[::-1]  # the slowest at the top
    end = horizon(run)
    last_us = nth_dispatch(run, chosen, MOST_TASKS)
    if last_us is not None:
        end = last_us / 1e6
    spans: dict[str, list[list[float]]] = {leg: [] for leg in LEGS}
    lost = []
    tasks = _by_client(run, chosen, last_us)
    for client in chosen:
        mine = tasks[client]
        for leg, found in spans_of(mine, end).items():
            spans[leg].append(_rounded(np.array(found).ravel()))
        gone = (mine["cancelled"] >= 0) | (mine["failed"] >= 0)
        lost.append(_rounded(mine["ended"][gone] / 1e6))
    times, numbers = versions_within(run, 0.0, end, MOST_TASKS)
    versions = [
        [round(time, 6), version]
        for time, version in zip(
            times[:MOST_TASKS].tolist(), numbers[:MOST_TASKS].tolist(), strict=True
        )
    ]
    return {
        "clients": [int(client) for client in chosen],
        "legs": spans,
        "lost": lost,
        "versions": versions,
        "end": end or 1.0,
        "cut": last_us is not None,
    }


def _by_client(run: Run, clients: Sequence[int], last_us: int | None) -> dict[int, Columns]:
    """The tasks of some clients, in the order of their dispatch, before the last one is sent."""
    until_us = None if last_us is None else last_us - 1
    parts = list(tasks_of(run, clients, until_us))
    tasks = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {
        client: {name: column[tasks["client"] == client] for name, column in tasks.items()}
        for client in clients
    }


def timeline_keys(data: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """The legend of the timeline."""
    if data is None:
        return []
    names = ["download", "compute", "upload", "idle"]
    if any(data["legs"]["queueing"]):
        names.insert(1, "queueing")
    return [{"name": name, "style": f"background: var(--{name})"} for name in names]


def _striped(color: str, dash: str) -> str:
    """A background like a dashed line."""
    stops, place = [], 0
    for number, length in enumerate(map(int, dash.split())):
        ink = "transparent" if number % 2 else color
        stops.append(f"{ink} {place}px {place + length}px")
        place += length
    return f"repeating-linear-gradient(90deg, {', '.join(stops)})" if stops else color


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 6) for value in values]
