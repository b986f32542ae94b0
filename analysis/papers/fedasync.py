"""The axes of FedAsync's figures, on MNIST: this project's own study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from afl_sim.analysis.papers.heterogeneity import along, differences, draw_line, table
from afl_sim.analysis.papers.reaching import accuracy_at_end, by_setting, updates_to, values
from afl_sim.analysis.statistics import student_interval
from afl_sim.analysis.theme import label_legend, new_figure, themed
from afl_sim.recording import Run

FUNCTIONS: Final = ("constant", "polynomial", "hinge")
ALPHAS: Final = ("0.3", "0.6", "0.9")
LARGEST: Final = (4, 16)
ROWS: Final = {
    **{
        f"{function}-{alpha}-{most}": f"{function}, alpha {alpha}, staleness to {most}"
        for most in LARGEST
        for function in FUNCTIONS
        for alpha in ALPHAS
    },
    "fedavg": "FedAvg",
    "sgd": "SGD",
}
PAIRS: Final = {
    (f"{function}-{alpha}-16", f"{function}-{alpha}-4"): f"{function}, alpha {alpha}: 16 - 4"
    for function in FUNCTIONS
    for alpha in ALPHAS
}


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Accuracy at the end (%), updates to 90 %, and what larger staleness costs."""
    settings = by_setting(studies.get("axes", ()))
    costs = differences(settings, PAIRS, accuracy_at_end)
    fast, slow = (costs.get(f"constant, alpha {alpha}: 16 - 4", []) for alpha in ("0.9", "0.3"))
    both = zip(fast, slow, strict=True)
    return {
        "accuracy_at_end": table(settings, ROWS, accuracy_at_end),
        "updates_to_90": table(settings, ROWS, updates_to(0.9)),
        "difference": costs,
        "little_alpha_less_hurt": [a is not None and b is not None and a < b for a, b in both],
    }


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure:
    """Accuracy at the end against alpha, a panel for each largest staleness."""
    settings = by_setting(studies.get("axes", ()))
    with themed() as style:
        figure = new_figure(style.width, style.height)
        panels = figure.subplots(1, len(LARGEST), sharey=True)
        for axes, most in zip(panels, LARGEST, strict=True):
            for index, function in enumerate(FUNCTIONS):
                labels = {float(alpha): f"{function}-{alpha}-{most}" for alpha in ALPHAS}
                found = along(settings, labels, accuracy_at_end)
                draw_line(axes, found, function, index, style, shift=0.015 * (index - 1))
            for label, line in (("fedavg", "--"), ("sgd", ":")):
                known = [x for x in values(settings.get(label, ()), accuracy_at_end) if x]
                if known:
                    mean = student_interval(known).mean
                    axes.axhline(mean, color=style.colors.ink, linestyle=line, label=ROWS[label])
            axes.set(
                xlabel="alpha", title=f"staleness to {most}", xticks=[float(a) for a in ALPHAS]
            )
        panels[0].set_ylabel("test accuracy after 400 updates (%)")
        label_legend(figure, panels[0], style)
    return figure
