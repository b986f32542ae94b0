"""Energy, price and carbon in tables, curves and the Pareto front."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import fake_run
from figure_checks import assert_texts_are_apart

from afl_sim.analysis import FIGURES, comparison, theme
from afl_sim.analysis.curves import curve_of
from afl_sim.analysis.figures.pareto import front
from afl_sim.analysis.frame import runs_frame
from afl_sim.analysis.intervals import differences, sentences
from afl_sim.analysis.measures import measure_all
from afl_sim.analysis.paper_forms import notes
from afl_sim.analysis.paper_table import paper_table
from afl_sim.analysis.replications import groups
from afl_sim.analysis.usable import CannotDraw
from afl_sim.analysis.view import View
from afl_sim.recording import Run

Make = Callable[..., Run]


def counted(run: Run, joules: float, to: float | None = None) -> Run:
    """The run with an account: so many joules in all, and until 90 %."""
    energy = {"download": 0.1, "compute": joules - 1, "total": joules, "wasted": joules / 10}
    costs = {
        "energy_joules": energy,
        "price": {"clients": 0.5, "server": 1.0, "total": 1.5},
        "energy_joules_to": {"accuracy": {"0.9": to, "0.95": None}},
        "price_to": {"accuracy": {"0.9": None if to is None else 0.25, "0.95": None}},
    }
    object.__setattr__(run, "summary", {**run.summary, **costs})
    share = np.linspace(0, joules, len(run.metrics))
    object.__setattr__(run, "metrics", run.metrics.assign(energy_joules=share, price=1.0))
    return run


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(label: str, joules: float, to: float | None = None, **more: Any) -> Run:
        folder = tmp_path / f"{label}{more.get('seed', 1)}"
        return counted(fake_run(folder, label=label, updates=40, tau=3.0, **more), joules, to)

    return made


def test_a_comparison_has_what_was_used_in_all_and_until_each_target(make: Make) -> None:
    frame = comparison([make("a", 5000.0, 1200.0), make("b", 700.0, strategy="fedavg")])
    a, b = frame.to_dict("records")
    assert (a["energy_joules"], a["wasted_joules"], a["price"]) == (5000.0, 500.0, 1.5)
    assert (a["energy_joules_to_0.9"], a["price_to_0.9"]) == (1200.0, 0.25)
    assert np.isnan(b["energy_joules_to_0.9"])
    headings = runs_frame([make("c", 5.0, 1.0, seed=2)]).attrs["headings"]
    assert headings["energy_joules_to_0.9"] == "energy to 90 % (J)"
    assert "carbon_grams" not in frame


def test_a_run_without_an_account_has_no_such_columns(tmp_path: Path) -> None:
    frame = comparison([fake_run(tmp_path / "plain", updates=20)])
    assert not [name for name in frame if "joules" in name or "price" in name]


def test_differences_of_energy_are_paired_and_have_words(make: Make) -> None:
    runs = [
        make(label, joules + 10 * seed, to + 10 * seed, seed=seed, strategy=strategy)
        for label, strategy, joules, to in (("a", "fedavg", 500, 200), ("b", "fedbuff", 900, 350))
        for seed in (1, 2, 3)
    ]
    members = groups(runs)
    found = differences(members, measure_all(runs)).set_index("measure")
    assert found.loc["energy_joules", "difference"] == 400.0
    assert found.loc["energy_joules_to_0.9", "difference"] == 150.0
    said = sentences(found.reset_index())
    assert any("reaches 90 % with 150 J more energy than" in line for line in said) or any(
        "reaches 90 % with 150 J less energy than" in line for line in said
    )
    assert not [line for line in said if "neither" in line and "energy" in line]
    table = paper_table(members, ["energy_joules", "costs_to_accuracy"], measure_all(runs))
    assert [column.name for column in table.columns] == ["energy_joules", "energy_joules_to_0.9"]
    assert table.columns[0].entries[0].best


def test_amounts_that_were_not_enough_restrict_all_in_their_own_unit(make: Make) -> None:
    runs = [make("a", 5000.0, 1200.0), make("b", 700.0, strategy="fedavg")]
    table = paper_table(groups(runs), ["costs_to_accuracy"], measure_all(runs))
    told = [note for note in notes(table) if "restricted" in note]
    assert told == [
        "energy to 90 %: some runs did not reach it, so that all amounts are restricted to 700 J, "
        "the least that one of them used (restricted mean).",
        "price to 90 %: some runs did not reach it, so that all amounts are restricted to 1.5, "
        "the least that one of them used (restricted mean).",
    ]


@pytest.mark.parametrize("name", ["accuracy", "metrics"])
def test_curves_can_be_drawn_against_energy(make: Make, name: str) -> None:
    run = make("a", 5000.0)
    figure = FIGURES[name].function([run], view=View(x="energy"))
    line = next(line for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 1)
    assert np.asarray(line.get_xdata())[-1] == 5.0
    assert figure.axes[0].get_xlabel() == "energy used (kJ)"
    assert_texts_are_apart(figure)


def test_a_run_that_does_not_count_what_is_asked_for_has_no_line(make: Make) -> None:
    assert not len(curve_of(make("a", 10.0), "carbon", "accuracy").x)
    figure = FIGURES["accuracy"].function([make("b", 10.0)], view=View(x="carbon"))
    assert "no carbon counted" in [text.get_text() for text in figure.axes[0].texts]


def test_the_front_has_what_no_other_point_beats() -> None:
    x = np.array([3.0, 1.0, 2.0, 2.0, np.nan, 4.0])
    y = np.array([1.0, 5.0, 2.0, 3.0, 0.0, 1.0])
    assert front(x, y).tolist() == [1, 2, 0]


def test_a_pareto_front_shows_time_and_energy_to_the_same_target(make: Make) -> None:
    runs = [
        make(label, 900.0, to, seed=seed, strategy=label)
        for label, to in (("fedavg", 250.0), ("fedbuff", 400.0), ("fedasync", None))
        for seed in (1, 2)
    ]
    figure = FIGURES["pareto"].function(runs)
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("energy to 90 % (J)", "time to 90 % (s)")
    assert "without fedasync: not all runs reached the target" in theme.notes(figure)
    assert_texts_are_apart(figure)
    with pytest.raises(CannotDraw, match="no carbon is counted"):
        FIGURES["pareto"].function(runs, view=View(x="carbon"))
    with pytest.raises(CannotDraw, match="expected energy, price, carbon"):
        FIGURES["pareto"].function(runs, view=View(x="bytes"))


def test_a_pareto_front_takes_the_targets_of_another_metric_if_the_main_one_has_none(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "main_metric", "ece")
    runs = [make(label, 900.0, 250.0, strategy=label) for label in ("fedavg", "fedbuff")]
    (axes,) = FIGURES["pareto"].function(runs).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("energy to 90 % (J)", "time to 90 % (s)")
