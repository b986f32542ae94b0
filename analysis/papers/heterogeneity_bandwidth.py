"""Time to an accuracy against the bandwidth of uplinks, with and without compression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from afl_sim.analysis.papers.heterogeneity import NAMES, along, differences, draw_line, table
from afl_sim.analysis.papers.reaching import by_setting, seconds_to
from afl_sim.analysis.theme import label_legend, new_figure, themed
from afl_sim.recording import Run

KINDS: Final = ("fedavg", "fedbuff")
BANDWIDTHS: Final = {"100k": 100, "10k": 10, "1k": 1}
COMPRESSIONS: Final = {"none": "whole", "topk": "top 10 %", "qsgd": "QSGD, 4 bits"}
ROWS: Final = {
    f"{kind}-{band}-{how}": f"{NAMES[kind]}, {rate} kB/s, {said}"
    for kind in KINDS
    for band, rate in BANDWIDTHS.items()
    for how, said in COMPRESSIONS.items()
}
PAIRS: Final = {
    (f"{kind}-{band}-{how}", f"{kind}-{band}-none"): f"{NAMES[kind]}, {rate} kB/s, {said} - whole"
    for kind in KINDS
    for band, rate in BANDWIDTHS.items()
    for how, said in COMPRESSIONS.items()
    if how != "none"
}


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Seconds to 95 % and paired differences of compressed to whole updates."""
    settings = by_setting(studies.get("bandwidth", ()))
    return {
        "seconds_to_95": table(settings, ROWS, seconds_to(0.95)),
        "difference_to_95": differences(settings, PAIRS, seconds_to(0.95)),
    }


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure:
    """Times to 95 % against the median bandwidth, a panel for each server."""
    settings = by_setting(studies.get("bandwidth", ()))
    with themed() as style:
        figure = new_figure(style.width, style.height)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, kind in zip(panels, KINDS, strict=True):
            for index, (how, said) in enumerate(COMPRESSIONS.items()):
                labels = {float(rate): f"{kind}-{band}-{how}" for band, rate in BANDWIDTHS.items()}
                found = along(settings, labels, seconds_to(0.95))
                draw_line(axes, found, said, index, style)
            axes.set(xlabel="median uplink (kB/s)", xscale="log", yscale="log", title=NAMES[kind])
        panels[0].set_ylabel("virtual time to 95 % (s)")
        label_legend(figure, panels[0], style)
    return figure
