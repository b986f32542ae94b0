"""FedAvg (McMahan et al., 2017), Tables 1 and 2: rounds to an accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from afl_sim.analysis.figures.panels import plain_decades
from afl_sim.analysis.papers.fedavg_scale import FURTHER, confirmed
from afl_sim.analysis.papers.heterogeneity import table
from afl_sim.analysis.papers.reaching import Values, by_setting, rounds_to, values
from afl_sim.analysis.theme import Style, new_figure, themed
from afl_sim.recording import Run

TABLE1: Final = {
    "C0": "C=0 (one client), IID",
    "C0.1": "C=.1, IID",
    "C0.2": "C=.2, IID",
    "C0.5": "C=.5, IID",
    "C1": "C=1, IID",
    "fedavg-table1-shards": "C=.1, non-IID",
    "C0.1-rate0.1": "C=.1, IID, rate 0.1",
}
CHOICES: Final = {
    "C0.1-rate0.05": "C=.1, rate 0.05",
    "C0.1-rate0.02": "C=.1, rate 0.02",
    "C0.1-standardised": "C=.1, rate 0.05, pixels standardised",
    "C0.1-xavier": "C=.1, Xavier's initial weights",
    "C0.1-xavier-rate0.05": "C=.1, Xavier's initial weights, rate 0.05",
    "C0-rate0.02": "C=0, rate 0.02",
    "C0-xavier": "C=0, Xavier's initial weights",
}
TABLE2: Final = {
    "E5-B10": "E=5, B=10",
    "E1-B10": "E=1, B=10",
    "FedSGD": "FedSGD",
    "E5-Binf": "E=5, B=inf",
    "E20-Binf": "E=20, B=inf",
}
RATES: Final = {
    "E5-B10-rate0.2": "E=5, B=10, rate 0.2",
    "E1-B10-rate0.2": "E=1, B=10, rate 0.2",
    "E1-B10-rate0.3": "E=1, B=10, rate 0.3",
}
FULL_BATCH: Final = {
    f"{label}{scale}-rate{rate}": f"{row}{pixels}, rate {rate}"
    for label, row in (("FedSGD", "FedSGD"), ("E5-Binf", "E=5, B=inf"))
    for scale, pixels in (("", ""), ("-standardised", ", pixels standardised"))
    for rate in (0.1, 0.15)
}
OTHER_RATES: Final = {"iid-Binf-C0.1-rate0.2": "C=.1, IID, B=inf, rate 0.2"}
INITIAL: Final = {
    f"C0.1-truncated-rate{rate}": f"truncated normal, rate {rate}" for rate in (0.2, 0.1)
}
INITIAL_CNN: Final = {
    f"E{epochs}-B10-truncated-rate{rate}": f"E={epochs}, B=10, truncated normal, rate {rate}"
    for epochs, rate in ((1, 0.1), (1, 0.05), (1, 0.02), (5, 0.1))
}
SEARCHES: Final = (
    "further-rates",
    "further-rates-one-client",
    "further-rates-full-batch",
    "further-rates-more",
    "further-rates-more-full-batch",
    "further-rates-still-more",
    "further-rates-still-more-full-batch",
)
PARTITIONS: Final = {"iid": "IID", "shards": "non-IID"}
SHARES: Final = {"0": "C=0", "0.1": "C=.1"}
ALL_OF_TABLE1: Final = ("table1", "table1-large", "table1-shards")
ALL_FURTHER: Final = (
    "further-C0",
    "further-Binf",
    "further-C0.2",
    "further-C0.5",
    "further-Binf-C0.2",
    "further-C1",
)
ALL_OF_TABLE2: Final = ("table2", "table2-fedsgd", "table2-5-inf", "table2-20-inf")
ALL_FULL_BATCH: Final = tuple(
    f"table2-{row}{scale}-{rate}"
    for row in ("fedsgd", "5-inf")
    for scale in ("", "-standardised")
    for rate in (0.1, 0.15)
)
UNIT: Final = "unit-"
"""Begins the names of studies with pixels in [0, 1], which others have in [-0.5, 0.5]."""

Settings = Mapping[str, Sequence[Run]]


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Rounds to 97 % and 99 %, the search of learning rates, and two orderings."""
    unit = {
        name.removeprefix(UNIT): runs for name, runs in studies.items() if name.startswith(UNIT)
    }
    choices = by_setting(unit.get("table1-choices", ()))
    rates = _settings(unit, ("table2-rates", "table2-rate-5"))
    first, second = _tables(studies), _tables(unit)
    to_97, to_99 = first["rounds_to_97"], first["rounds_to_99"]
    initial = _settings(studies, ("initial-weights", "initial-weights-lower"))
    first["rounds_initial_weights"] = table(initial, INITIAL, rounds_to(0.97))
    cnn = by_setting(studies.get("initial-weights-cnn", ()))
    first["rounds_to_99_initial_weights"] = table(cnn, INITIAL_CNN, rounds_to(0.99))
    full = _settings(studies, ALL_FULL_BATCH)
    first["rounds_to_99_other_choices"] = table(full, FULL_BATCH, rounds_to(0.99))
    second["rounds_other_choices"] = table(choices, CHOICES, rounds_to(0.97))
    second["rounds_to_99"] |= table(rates, RATES, rounds_to(0.99))
    further = [tables["further_rounds_to_97"] for tables in (first, second)]
    lower = _settings(studies, ("further-Binf-lower",))
    first["further_other_rates"] = table(lower, OTHER_RATES, rounds_to(0.97))
    del first["further_rounds_held_out"]  # no rate of its search reaches 97 %
    return {
        **first,
        **{f"unit_{quantity}": found for quantity, found in second.items()},
        "more_clients_fewer_rounds": _falls(to_97, [TABLE1[k] for k in ("C0", "C0.1", "C0.2")]),
        "more_epochs_fewer_rounds": _falls(to_99, [TABLE2[k] for k in ("E1-B10", "E5-B10")]),
        "scale_confirmed": confirmed(*further),
    }


def _tables(studies: Mapping[str, Sequence[Run]]) -> dict[str, dict[str, Values]]:
    """Both tables and the search of rates, with one scale of pixels."""
    searched = by_setting(studies.get("learning-rates", ()))
    shards = {label: runs for label, runs in searched.items() if label.startswith("shards")}
    iid = {label: runs for label, runs in searched.items() if label not in shards}
    return {
        "rounds_to_97": table(_settings(studies, ALL_OF_TABLE1), TABLE1, rounds_to(0.97)),
        "rounds_to_99": table(_settings(studies, ALL_OF_TABLE2), TABLE2, rounds_to(0.99)),
        "rounds_held_out": {_rate(k): values(runs, rounds_to(0.97)) for k, runs in iid.items()},
        "accuracy_held_out": {_rate(k): values(runs, late_accuracy) for k, runs in shards.items()},
        **_further(studies),
    }


def _further(studies: Mapping[str, Sequence[Run]]) -> dict[str, dict[str, Values]]:
    """The further cells of Table 1, and the search of their rates."""
    searched = _settings(studies, SEARCHES)
    fastest = {k: runs for k, runs in searched.items() if k.startswith("iid-Binf-C0-")}
    return {
        "further_rounds_to_97": table(_settings(studies, ALL_FURTHER), FURTHER, rounds_to(0.97)),
        "further_held_out": {_cell(k): values(runs, best_accuracy) for k, runs in searched.items()},
        "further_rounds_held_out": {
            _cell(k): values(runs, rounds_to(0.97)) for k, runs in fastest.items()
        },
    }


def best_accuracy(run: Run) -> float:
    """The highest accuracy (%) of any evaluation; a diverged run's are those before it diverged."""
    return 100 * float(run.evaluations["accuracy"].max())


def late_accuracy(run: Run) -> float | None:
    """Mean accuracy (%) of the evaluations in rounds 60 to 100."""
    rounds = run.evaluations["version"].to_numpy()
    late = run.evaluations["accuracy"].to_numpy(dtype="float64")[(rounds >= 60) & (rounds <= 100)]
    return 100 * float(np.mean(late)) if len(late) else None


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure:
    """Best accuracy so far against rounds, a panel for each table."""
    unit = [f"{UNIT}{name}" for name in ALL_FURTHER]
    panels = (
        ("2NN, E=1, B=10", ALL_OF_TABLE1, TABLE1, 0.97, "rounds_to_97", 0.9),
        ("CNN, C=.1, IID", ALL_OF_TABLE2, TABLE2, 0.99, "rounds_to_99", 0.96),
        ("2NN, further cells", ALL_FURTHER, FURTHER, 0.97, "further_rounds_to_97", 0.9),
    )
    found = [(panel, _settings(studies, panel[1])) for panel in panels]
    shown = [(panel, settings) for panel, settings in found if settings]
    with themed() as style:
        figure = new_figure(style.width, style.height * max(len(shown), 1))
        grid = figure.subplots(max(len(shown), 1), 1, squeeze=False)[:, 0]
        for axes, (panel, settings) in zip(grid, shown, strict=False):
            title, names, rows, goal, quantity, least = panel
            compared = _settings(studies, unit) if names is ALL_FURTHER else {}
            for index, (label, runs) in enumerate(settings.items()):
                reported = target.tables[quantity].rows[rows[label]].reported
                _draw_setting(axes, runs, rows[label], reported, goal, index, style)
                _draw_compared(axes, compared.get(label, ()), index, style)
            axes.axhline(100 * goal, color=style.colors.faint, linewidth=0.8)
            axes.set(title=title, xlabel="rounds", ylabel="best test accuracy so far (%)")
            starts = (
                rounds_to(least)(run)
                for each in (settings, compared)
                for runs in each.values()
                for run in runs
            )
            left = min((start for start in starts if start), default=1.0)
            axes.set(xscale="log", ylim=(100 * least, 100 * goal + 0.5))
            axes.set_xlim(left=0.9 * left)
            plain_decades(axes.xaxis)
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
    return figure


def _draw_setting(
    axes: Axes,
    runs: Sequence[Run],
    name: str,
    reported: float | None,
    goal: float,
    index: int,
    style: Style,
) -> None:
    color = style.colors.palette[index % len(style.colors.palette)]
    for number, run in enumerate(runs):
        label = name if number == 0 else None
        axes.plot(*_best(run), color=color, linewidth=1.2, label=label)
    if reported is not None:
        (cross,) = axes.plot([reported], [100 * goal], "X", color=color, markersize=9, zorder=3)
        cross.set(clip_on=False, markeredgecolor=style.colors.page)


def _draw_compared(axes: Axes, runs: Sequence[Run], index: int, style: Style) -> None:
    """The same setting with the other scale of pixels."""
    color = style.colors.palette[index % len(style.colors.palette)]
    for run in runs:
        axes.plot(*_best(run), color=color, linewidth=0.9, linestyle="--")


def _best(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Rounds, and the best accuracy (%) so far."""
    best = np.maximum.accumulate(run.metrics["accuracy"].to_numpy(dtype="float64"))
    return run.metrics["version"].to_numpy()[1:], 100 * best[1:]


def _settings(studies: Mapping[str, Sequence[Run]], names: Sequence[str]) -> Settings:
    return by_setting([run for name in names for run in studies.get(name, ())])


def _rate(label: str) -> str:
    partition, share, rate = label.split("-")
    return f"{SHARES[share]}, {PARTITIONS[partition]}, rate {rate}"


def _cell(label: str) -> str:
    """`shards-B10-C0.1-0.05` as a row's name."""
    partition, batch, share, rate = label.split("-")
    return f"{SHARES[share.removeprefix('C')]}, {PARTITIONS[partition]}, B={batch[1:]}, rate {rate}"


def _falls(found: Mapping[str, Sequence[float | None]], rows: Sequence[str]) -> list[bool]:
    """By replication whether each row takes fewer rounds than the one before it."""
    if any(row not in found for row in rows):
        return []
    together = zip(*(found[row] for row in rows), strict=True)
    return [
        all(a is not None and b is not None and a > b for a, b in pairwise(each))
        for each in together
    ]
