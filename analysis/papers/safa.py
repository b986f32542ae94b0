"""SAFA (Wu et al., 2021): round lengths, synchronisation ratio, accuracy and loss.

What a round is, and how long it takes in the authors' books, is in `safa_rounds`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from afl_sim.analysis.papers.safa_rounds import (
    ROUNDS,
    Round,
    by_arrival,
    distribution,
    fedavg_round_seconds,
    round_seconds,
    rounds,
)
from afl_sim.recording import Run

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from afl_sim.analysis.papers.reported import Target

FRACTIONS: Final = (0.1, 0.3, 0.5, 0.7, 1.0)
CRASHES: Final = (0.1, 0.3, 0.5, 0.7)
LOSS_ROUNDS: Final = (1, 5, 10, 20, 50)
NAMES: Final = {"safa": "SAFA", "fedavg": "FedAvg"}
SPREAD: Final = {  # server, cr -> row of the tables of other seeds
    ("safa", ".5"): "SAFA, synchronisation ratio, cr=.5 (reported 0.524)",
    ("safa", ".7"): "SAFA, synchronisation ratio, cr=.7 (reported 0.341)",
    ("fedavg", ".1"): "FedAvg, length of a round, C=.1 cr=.1 (reported 3402.55 s)",
    ("fedavg", ".7"): "FedAvg, best accuracy, C=.1 cr=.7 (reported 0.8818)",
}
WARM_UP: Final = 1
"""Versions before those of the rounds."""
CYCLE: Final = 10
"""Rounds after which the start, when all are sent the model, is forgotten."""
Rows = dict[str, list[float | None]]


def cell(fraction: float, crash: float) -> str:
    """The label of a cell of the paper's tables."""
    return f"C={_short(fraction)} cr={_short(crash)}"


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Rows]:
    """The quantities of the target; see `afl_sim.papers`."""
    quantities: dict[str, Rows] = {
        "other_readings": {},
        "fedavg_accuracy": {},
        "safa_accuracy": {},
        "fedavg_loss": {},
        "safa_loss": {},
    }
    for seeds in ("", "_100"):  # those of the paper's tables, and a hundred others
        quantities |= _timing(studies, seeds)
    others = quantities["other_readings"]
    for run in studies.get("rounds-safa", ()):
        if (crash := crash_of(run)) in (0.1, 0.5):
            found = rounds(run)
            for fraction in (0.1, 0.3):
                name = cell(fraction, crash)
                arrival = round_seconds(found, fraction, by_arrival)
                _add(others, f"{name} by arrival", arrival)
                alone = round_seconds(found, fraction, adds_up=False)
                _add(others, f"{name} by round", alone)
    for run in studies.get("rounds-drawn", ()):
        found = rounds(run)
        for fraction in (0.1, 0.3):
            name = f"{cell(fraction, crash_of(run))} drawn"
            _add(others, name, round_seconds(found, fraction))
    for run in studies.get("rounds-event", ()):
        name = f"{cell(fraction_of(run), crash_of(run))} event"
        length = run.summary["virtual_seconds"] / run.summary["versions"]
        _add(others, name, length + distribution([r.synced for r in rounds(run)], adds_up=False))
    for run in learning(studies):
        _measure_learning(run, quantities)
    return quantities | _other_seeds(studies)


def _timing(studies: Mapping[str, Sequence[Run]], seeds: str) -> dict[str, Rows]:
    """The four tables that need no training; `seeds` ends the names of studies and tables."""
    lengths: Rows = {}
    of_fedavg: Rows = {}
    ratios: Rows = {}
    steady: Rows = {}
    ending = seeds.replace("_", "-")
    for run in studies.get(f"rounds-safa{ending}", ()):
        crash, found = crash_of(run), rounds(run)
        row = f"cr={_short(crash)}"
        synced = sync_ratios(found)
        _add(ratios, row, float(np.mean(synced)))
        _add(steady, row, float(np.mean(synced[CYCLE:])))
        for fraction in FRACTIONS:
            _add(lengths, cell(fraction, crash), round_seconds(found, fraction))
    for run in studies.get(f"rounds-fedavg{ending}", ()):
        _add(of_fedavg, cell(fraction_of(run), crash_of(run)), fedavg_round_seconds(run))
    return {
        f"safa_round_seconds{seeds}": lengths,
        f"fedavg_round_seconds{seeds}": of_fedavg,
        f"sync_ratio{seeds}": ratios,
        f"steady_sync_ratio{seeds}": steady,
    }


def sync_ratios(found: Sequence[Round]) -> list[float]:
    """The share of the 100 clients that were sent the global model, round by round."""
    return [answered.synced / 100 for answered in found]


def _other_seeds(studies: Mapping[str, Sequence[Run]]) -> dict[str, Rows]:
    """Cells of which there are more seeds: the values, and their standard deviation."""
    spread: Rows = {}
    for run in studies.get("spread-safa", ()):
        crash = _short(crash_of(run))
        _add(spread, SPREAD["safa", crash], float(np.mean(sync_ratios(rounds(run)))))
    for run in studies.get("spread-fedavg", ()):
        _add(spread, SPREAD["fedavg", ".1"], fedavg_round_seconds(run))
    for run in studies.get("spread-accuracy", ()):
        _add(spread, SPREAD["fedavg", ".7"], float(by_round(run)["accuracy"].max()))
    deviation: Rows = {
        row: [float(np.std(_known(values), ddof=1))] for row, values in spread.items()
    }
    accuracy: Rows = {}
    for study in ("accuracy-seeds-5", "accuracy-seeds-7"):
        for run in studies.get(study, ()):
            name = cell(fraction_of(run), crash_of(run))
            _add(accuracy, name, float(by_round(run)["accuracy"].max()))
    return {"spread": spread, "deviation": deviation, "fedavg_accuracy_seeds": accuracy}


def learning(studies: Mapping[str, Sequence[Run]]) -> list[Run]:
    """The runs that trained, one for each cell."""
    named = ("accuracy-fedavg", "accuracy-safa")
    return [run for name, runs in studies.items() if name.startswith(named) for run in runs]


def _measure_learning(run: Run, quantities: dict[str, Rows]) -> None:
    fraction, crash = fraction_of(run), crash_of(run)
    tested = by_round(run)
    if ROUNDS in tested.index:
        best = float(tested["accuracy"].max())
        _add(quantities[f"{run.strategy}_accuracy"], cell(fraction, crash), best)
    if fraction == 0.3 and crash in (0.3, 0.7):
        for number in LOSS_ROUNDS:
            if number in tested.index:
                row = f"cr={_short(crash)} round {number}"
                _add(quantities[f"{run.strategy}_loss"], row, float(tested["loss"][number]))


def by_round(run: Run) -> pd.DataFrame:
    """Accuracy and loss after each round; version 1 is the warm-up, a part of the first round."""
    tested = run.metrics.drop_duplicates("version", keep="last").set_index("version")
    tested = tested.loc[tested.index > WARM_UP, ["accuracy", "loss"]].dropna()
    tested.index = tested.index - WARM_UP
    return tested


def crash_of(run: Run) -> float:
    """cr, the crash probability of the run's clients."""
    return float(run.scenario["clients"]["faults"]["crash"])


def fraction_of(run: Run) -> float:
    """C, the share of clients of a round."""
    return float(run.scenario["strategy"]["clients_per_round"])


def draw(studies: Mapping[str, Sequence[Run]], target: Target) -> Figure:
    """Round lengths and synchronisation ratio against C and cr, with the published points."""
    from afl_sim.analysis import theme

    measured, trained = measure(studies), learning(studies)
    with theme.themed() as style:
        rows, columns = (2, 2) if trained else (1, 3)
        figure = theme.new_figure(2 * style.width, rows * style.height)
        panels = figure.subplots(rows, columns).flat
        for axes, quantity, title in zip(
            panels, ("safa_round_seconds", "fedavg_round_seconds"), NAMES.values(), strict=False
        ):
            _draw_rounds(axes, measured[quantity], target.tables[quantity].rows, style)
            axes.set_title(f"{title}: mean length of a round")
        _draw_ratio(panels[2], measured["sync_ratio"], target.tables["sync_ratio"].rows, style)
        if trained:
            _draw_loss(panels[3], trained, target, style)
        theme.label_legend(figure, panels[0], style)
    return figure


def _draw_rounds(axes: Axes, measured: Rows, rows: Mapping[str, Any], style: Any) -> None:
    from afl_sim.analysis import theme

    for i, crash in enumerate(CRASHES):
        color = style.colors.palette[i]
        known = [
            (fraction, _known(measured[cell(fraction, crash)]))
            for fraction in FRACTIONS
            if cell(fraction, crash) in measured
        ]
        at = np.array([fraction for fraction, _ in known]) + 0.012 * (i - 1.5)
        means = [float(np.mean(values)) for _, values in known]
        spread = [float(np.std(values, ddof=1)) if len(values) > 1 else 0 for _, values in known]
        axes.errorbar(
            at,
            means,
            spread,
            color=color,
            marker=theme.MARKERS[i],
            capsize=3,
            label=f"cr {crash:g}",
        )
        reported = [rows[cell(fraction, crash)].reported for fraction in FRACTIONS]
        published = "published" if i == 0 else None
        x = np.array(FRACTIONS) + 0.012 * (i - 1.5)
        axes.scatter(x, reported, marker="x", color=color, zorder=3, label=published)
    axes.set_xlabel("C, share of clients picked")
    axes.set_ylabel("seconds (± a standard deviation)")
    axes.set_ylim(bottom=0)


def _draw_ratio(axes: Axes, measured: Rows, rows: Mapping[str, Any], style: Any) -> None:
    rates = np.linspace(0.01, 0.9, 100)
    palette = style.colors.palette
    axes.plot(rates, closed_form(rates), color=style.colors.faint, label="closed form")
    labels = {crash: f"cr={_short(crash)}" for crash in CRASHES}
    known = [crash for crash, label in labels.items() if label in measured]
    means = [float(np.mean(_known(measured[labels[crash]]))) for crash in known]
    axes.scatter(known, means, color=palette[0], label="measured")
    reported = [rows[label].reported for label in labels.values()]
    axes.scatter(CRASHES, reported, marker="x", color=palette[3], label="published", zorder=3)
    axes.set_xlabel("cr, crash probability")
    axes.set_ylabel("share of clients sent the model in a round")
    axes.set_title("SAFA: synchronisation ratio")
    axes.legend(fontsize="small")


def _draw_loss(axes: Axes, runs: Sequence[Run], target: Target, style: Any) -> None:
    looks = [("fedavg", 0.3), ("fedavg", 0.7), ("safa", 0.3), ("safa", 0.7)]
    for i, (kind, crash) in enumerate(looks):
        color = style.colors.palette[i]
        rows = target.tables[f"{kind}_loss"].rows
        labels = [f"cr={_short(crash)} round {number}" for number in LOSS_ROUNDS]
        reported = np.array([rows[label].reported for label in labels], dtype=float)
        axes.scatter(LOSS_ROUNDS, reported, marker="x", color=color, zorder=3)
        axes.plot([], [], color=color, label=f"{NAMES[kind]}, cr {crash:g}")
        for run in runs:
            if (run.strategy, crash_of(run), fraction_of(run)) == (kind, crash, 0.3):
                tested = by_round(run)
                axes.plot(tested.index, tested["loss"], color=color)
    axes.set_yscale("log")
    axes.set_yticks([0.1, 0.2, 0.5, 1.0], ["0.1", "0.2", "0.5", "1"])
    axes.set_xlabel("round")
    axes.set_ylabel("loss on the test set (nats)")
    axes.set_title("Loss at C = 0.3")
    axes.legend(fontsize="small")


def closed_form(crash: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The synchronisation ratio in the long run, ``(1 - cr) / (1 - cr^6)``; the lag is up to 5."""
    return (1 - crash) / (1 - crash**6)


def _add(rows: Rows, name: str, value: float) -> None:
    rows.setdefault(name, []).append(value)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _short(number: float) -> str:
    """.1 and 1, as the paper writes them."""
    return f"{number:g}".removeprefix("0")
