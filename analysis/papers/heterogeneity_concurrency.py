"""Time to an accuracy, and staleness, against FedBuff's concurrency and buffer size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from afl_sim.analysis.figures.panels import plain_decades
from afl_sim.analysis.papers.heterogeneity import along, differences, draw_line, table
from afl_sim.analysis.papers.reaching import by_setting, seconds_to, updates_to
from afl_sim.analysis.theme import label_legend, new_figure, themed
from afl_sim.recording import Run

CONCURRENCIES: Final = (5, 10, 20, 40)
BUFFERS: Final = (1, 5, 10)
ROWS: Final = {
    f"c{c}-b{b}": f"concurrency {c}, buffer {b}" for b in BUFFERS for c in CONCURRENCIES if b <= c
}
REFERENCE: Final = "c10-b5"
PAIRS: Final = {
    (label, REFERENCE): f"{row} - {ROWS[REFERENCE]}"
    for label, row in ROWS.items()
    if label != REFERENCE
}


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Seconds and updates to 95 %, mean staleness, and paired differences of the seconds."""
    settings = by_setting(studies.get("concurrency", ()))
    return {
        "seconds_to_95": table(settings, ROWS, seconds_to(0.95)),
        "updates_to_95": table(settings, ROWS, updates_to(0.95)),
        "mean_staleness": table(settings, ROWS, mean_staleness),
        "difference_to_95": differences(settings, PAIRS, seconds_to(0.95)),
    }


def mean_staleness(run: Run) -> float | None:
    """Mean staleness of the aggregated updates, in versions."""
    mean = (run.summary.get("staleness") or {}).get("mean")
    return None if mean is None else float(mean)


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure:
    """Virtual time and updates to 95 % against concurrency, a line for each buffer."""
    settings = by_setting(studies.get("concurrency", ()))
    with themed() as style:
        figure = new_figure(style.width, style.height)
        panels = figure.subplots(1, 2)
        shown = {
            "virtual time to 95 % (s)": seconds_to(0.95),
            "updates aggregated to 95 %": updates_to(0.95),
        }
        for axes, (name, of_run) in zip(panels, shown.items(), strict=True):
            for index, b in enumerate(BUFFERS):
                found = along(settings, {float(c): f"c{c}-b{b}" for c in CONCURRENCIES}, of_run)
                draw_line(axes, found, f"buffer {b}", index, style)
            axes.set(xlabel="clients that train at once", ylabel=name)
            axes.set(xscale="log", yscale="log", xticks=CONCURRENCIES, xticklabels=CONCURRENCIES)
            plain_decades(axes.yaxis)
            axes.minorticks_off()
        label_legend(figure, panels[0], style)
    return figure
