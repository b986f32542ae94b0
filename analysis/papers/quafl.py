"""QuAFL's MNIST panels: accuracy over virtual time of three servers, quantisation off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from afl_sim.analysis.curves import mean_curve
from afl_sim.analysis.figures.lines import draw_line, key_fewer, name_fewer
from afl_sim.analysis.papers.reaching import accuracy_at_end, by_setting, seconds_to, values
from afl_sim.analysis.replications import groups
from afl_sim.analysis.theme import label_legend, look_of, new_figure, themed
from afl_sim.recording import Run

ROWS: Final = {
    "quafl": "QuAFL",
    "fedavg": "FedAvg",
    "fedbuff": "FedBuff, buffer 5",
    "fedbuff-10": "FedBuff, buffer 10",
    "fedbuff-lr": "FedBuff, local rate lr s/n",
    "fedbuff-reload": "FedBuff, model reloaded before the step",
    "fedbuff-quirks": "FedBuff, both quirks",
}


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Accuracy at the end (%), seconds to 80 %, and which server is ahead at the end."""
    settings = by_setting(studies.get("mnist", ()))
    ends = {label: values(runs, accuracy_at_end) for label, runs in settings.items()}
    times = {label: values(runs, seconds_to(0.8)) for label, runs in settings.items()}
    return {
        "accuracy_at_500": {ROWS[label]: found for label, found in ends.items()},
        "seconds_to_80": {ROWS[label]: found for label, found in times.items()},
        "quafl_before_fedavg": _ahead(ends, "quafl", "fedavg"),
        "quafl_before_quirky_fedbuff": _ahead(ends, "quafl", "fedbuff-quirks"),
    }


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure:
    """Accuracy over virtual time, means of the seeds with their intervals."""
    with themed() as style:
        figure = new_figure(style.width, style.height)
        axes = figure.subplots()
        for group in groups(studies.get("mnist", ())):
            look = look_of(group, style)
            curve = mean_curve(group.runs, "time", "accuracy")
            draw_line(axes, curve, ROWS[group.label], look.color, look.line)
        axes.set(xlabel="virtual time (s)", ylabel="test accuracy (%)", ylim=(0, 100))
        key_fewer(axes, style)
        label_legend(figure, axes, style)
        name_fewer(figure, [axes], style)
    return figure


def _ahead(ends: Mapping[str, Sequence[float | None]], one: str, other: str) -> list[bool]:
    """In which replications one setting ends more accurate than the other."""
    both = zip(ends.get(one, ()), ends.get(other, ()), strict=False)
    return [a is not None and b is not None and a > b for a, b in both]
