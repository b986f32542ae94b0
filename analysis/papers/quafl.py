"""QuAFL's MNIST panels: accuracy over virtual time of three servers, quantisation off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from afl_sim.analysis.curves import mean_curve
from afl_sim.analysis.figures.lines import draw_line, key_fewer, name_fewer
from afl_sim.analysis.papers.reaching import (
    Values,
    accuracy_at_end,
    by_setting,
    paired_differences,
    seconds_to,
    values,
)
from afl_sim.analysis.replications import groups
from afl_sim.analysis.theme import LINES, PALETTE, label_legend, new_figure, themed
from afl_sim.recording import Run

ROWS: Final = {
    "quafl": "QuAFL",
    "quafl-repeated": "QuAFL, broken-off steps repeated",
    "quafl-14-bits": "QuAFL, 14 bits",
    "fedavg": "FedAvg",
    "fedbuff": "FedBuff, buffer 5",
    "fedbuff-10": "FedBuff, buffer 10",
    "fedbuff-lr": "FedBuff, local rate lr s/n",
    "fedbuff-reload": "FedBuff, model reloaded before the step",
    "fedbuff-quirks": "FedBuff, both quirks",
    "fedbuff-instant": "FedBuff, buffer 5, server takes no time",
    "fedbuff-quirks-instant": "FedBuff, both quirks, server takes no time",
}
PANELS: Final = {"mnist": "interaction 10 s", "notebook": "interaction 4.375 s"}
DRAWN: Final = ("quafl", "fedavg", "fedbuff", "fedbuff-quirks")


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Accuracy at the end (%), seconds to 80 %, and which server is ahead at the end."""
    settings = {study: by_setting(studies.get(study, ())) for study in PANELS}
    ends, notebook = (
        {label: values(runs, accuracy_at_end) for label, runs in settings[study].items()}
        for study in PANELS
    )
    times = {label: values(runs, seconds_to(0.8)) for label, runs in settings["mnist"].items()}
    ahead = {
        **{name: _margin(settings[study], "fedbuff-quirks") for study, name in PANELS.items()},
        "interaction 10 s, FedBuff's server takes no time": _margin(
            settings["mnist"], "fedbuff-quirks-instant"
        ),
    }
    return {
        "accuracy_at_500": {ROWS[label]: found for label, found in ends.items()},
        "notebook_at_500": {ROWS[label]: found for label, found in notebook.items()},
        "ahead_of_quirky_fedbuff": ahead,
        "seconds_to_80": {ROWS[label]: found for label, found in times.items()},
        "quafl_before_fedavg": _ahead(ends, "quafl", "fedavg"),
        "quafl_before_quirky_fedbuff": _ahead(ends, "quafl", "fedbuff-quirks"),
        "notebook_quafl_before_fedavg": _ahead(notebook, "quafl", "fedavg"),
        "notebook_quafl_before_quirky_fedbuff": _ahead(notebook, "quafl", "fedbuff-quirks"),
    }


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure:
    """Accuracy over virtual time, means of the seeds with their intervals."""
    shown = [study for study in PANELS if study in studies]
    with themed() as style:
        figure = new_figure(style.width, style.height)
        row = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, study in zip(row, shown, strict=True):
            drawn = [group for group in groups(studies[study]) if group.label in DRAWN]
            for group in drawn:
                number = DRAWN.index(group.label)
                curve = mean_curve(group.runs, "time", "accuracy")
                draw_line(axes, curve, ROWS[group.label], PALETTE[number], LINES[number])
            axes.set(xlabel="virtual time (s)", title=PANELS[study])
        row[0].set(ylabel="test accuracy (%)", ylim=(0, 100))
        key_fewer(row[-1], style)
        label_legend(figure, row[-1], style)
        name_fewer(figure, list(row), style)
    return figure


def _margin(settings: Mapping[str, Sequence[Run]], other: str) -> Values:
    """How much more accurate QuAFL ends than another setting, by seed."""
    return paired_differences(settings.get("quafl", ()), settings.get(other, ()), accuracy_at_end)


def _ahead(ends: Mapping[str, Sequence[float | None]], one: str, other: str) -> list[bool]:
    """In which replications one setting ends more accurate than the other."""
    both = zip(ends.get(one, ()), ends.get(other, ()), strict=False)
    return [a is not None and b is not None and a > b for a, b in both]
