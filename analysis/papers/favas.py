"""FAVAS / FAVANO on MNIST: accuracy at the end, four servers on three fleets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from afl_sim.analysis.curves import mean_curve
from afl_sim.analysis.figures.lines import draw_line, key_fewer, name_fewer
from afl_sim.analysis.papers.heterogeneity import NAMES, table
from afl_sim.analysis.papers.reaching import Values, accuracy_at_end, by_setting, values
from afl_sim.analysis.theme import label_legend, new_figure, themed
from afl_sim.recording import Run

SERVERS: Final = ("fedavg", "quafl", "fedbuff", "favas")
FLEETS: Final = {
    "iid": "IID, 2/3 fast",
    "classes": "non-IID, 2/3 fast",
    "slow": "non-IID, 1/9 fast",
}
WARM_UP: Final = 140
"""Virtual seconds of 20 rounds, of which a client misses all with a probability of 1 %."""
ROWS: Final = {
    f"{fleet}-{kind}": f"{NAMES[kind]}, {said}"
    for fleet, said in FLEETS.items()
    for kind in SERVERS
}

SPREAD: Final = ("spread-fedavg", "spread-quafl", "spread-quafl-slow")
"""Studies with other seeds of some rows."""
OF_FEDBUFF: Final = {
    "iid-lr0.1": "IID, local rate 0.1",
    "iid-server0.2": "IID, server rate 0.2",
    "classes-lr0.1": "non-IID, local rate 0.1",
    "classes-server0.2": "non-IID, server rate 0.2",
}


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Steps done at a poll, accuracy at the end (%), and who is ahead of whom."""
    ends = table(by_setting(studies.get("mnist", ())), ROWS, accuracy_at_end)
    seeds = [run for name in SPREAD for run in studies.get(name, ())]
    rates = by_setting(studies.get("fedbuff", ()))
    polled = by_setting(studies.get("schedule", ()))
    return {
        "steps_at_contact": {
            f"{label} clients": values(runs, steps_at_contact) for label, runs in polled.items()
        },
        "accuracy": ends,
        "accuracy_spread": table(by_setting(seeds), ROWS, accuracy_at_end),
        "accuracy_fedbuff": table(rates, OF_FEDBUFF, accuracy_at_end),
        "fedbuff_first_if_iid": _first(ends, "fedbuff", "iid"),
        "favas_first_if_not": _first(ends, "favas", "classes"),
        "favas_first_if_slow": _first(ends, "favas", "slow"),
    }


def steps_at_contact(run: Run) -> float | None:
    """Mean local steps that a client has done when it is polled.

    Polls of the first rounds are left out: before them nobody can have waited for longer.
    """
    events = run.event_columns("time_us", "kind", "steps")
    late = (events["time_us"] >= WARM_UP * 1_000_000).to_numpy()
    polled = events[(events["kind"] == "arrived").to_numpy() & late]
    return float(polled["steps"].mean()) if len(polled) else None


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure:
    """Accuracy over time, a panel for each fleet, with the remembered accuracies at its end."""
    settings = by_setting(studies.get("mnist", ()))
    with themed() as style:
        figure = new_figure(style.width, style.height)
        panels = figure.subplots(1, len(FLEETS), sharey=True)
        for axes, (fleet, said) in zip(panels, FLEETS.items(), strict=True):
            for index, kind in enumerate(SERVERS):
                label, color = f"{fleet}-{kind}", style.colors.palette[index]
                if label in settings:
                    curve = mean_curve(settings[label], "time", "accuracy")
                    draw_line(axes, curve, NAMES[kind], color, band=False)
                reported = target.tables["accuracy"].rows[ROWS[label]].reported
                axes.plot([5000], [reported], "X", color=color, clip_on=False, zorder=3)
            axes.set(title=said, xlabel="virtual time (s)", xlim=(0, 5000), ylim=(0, 100))
        panels[0].set_ylabel("test accuracy (%)")
        key_fewer(panels[0], style)
        label_legend(figure, panels[0], style)
        name_fewer(figure, panels, style)
    return figure


def _first(ends: Mapping[str, Values], kind: str, fleet: str) -> list[bool]:
    """By replication whether a server ends more accurate than the three others."""
    found = [ends.get(ROWS[f"{fleet}-{other}"], []) for other in SERVERS]
    own = SERVERS.index(kind)
    return [
        None not in each and all(each[own] > x for i, x in enumerate(each) if i != own)
        for each in zip(*found, strict=False)
    ]
