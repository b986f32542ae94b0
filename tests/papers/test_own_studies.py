"""The project's own studies: rows of settings, paired differences, and what their figures show."""

from __future__ import annotations

import importlib

import pandas as pd
import pytest
from curves import curve

from afl_sim.analysis.papers import (
    favas,
    fedasync,
    heterogeneity_concurrency,
    heterogeneity_labels,
    heterogeneity_tail,
    quafl,
)
from afl_sim.analysis.papers.heterogeneity import draw_line
from afl_sim.analysis.theme import new_figure, themed
from afl_sim.papers.target import find_target
from afl_sim.run.validation import check_study

OWN = {
    "fedasync": "axes",
    "heterogeneity-tail": "tail",
    "heterogeneity-concurrency": "concurrency",
    "heterogeneity-labels": "labels",
    "heterogeneity-bandwidth": "bandwidth",
    "favas": "mnist",
    "quafl": "mnist",
}

# Tables with rows of their own.
OTHERS = {
    "steps_at_contact",
    "accuracy_fedbuff",
    "accuracy_spread",
    "updates_to_95",
    "mean_staleness",
    "staleness_deviation",
    "notebook_at_500",
    "ahead_of_quirky_fedbuff",
}


@pytest.mark.parametrize("name", OWN)
def test_every_case_of_the_file_has_its_row_and_every_row_its_case(name: str) -> None:
    target = find_target(name)
    module = importlib.import_module(target.analysis)
    study = check_study(target.file(OWN[name]), ["replications=1"])
    assert [case.label for case in study.cases] == list(module.ROWS)
    pairs = getattr(module, "PAIRS", {})
    assert {label for pair in pairs for label in pair} <= set(module.ROWS)
    for quantity, table in target.tables.items():
        if quantity not in OTHERS:
            assert set(table.rows) in (set(module.ROWS.values()), set(pairs.values()))


def test_the_other_rates_of_favas_fedbuff_are_its_files_cases() -> None:
    target = find_target("favas")
    study = check_study(target.file("fedbuff"))
    assert [case.label for case in study.cases] == list(favas.OF_FEDBUFF)
    assert list(target.tables["accuracy_fedbuff"].rows) == list(favas.OF_FEDBUFF.values())


def test_the_rows_of_favas_other_seeds_are_rows_of_its_study() -> None:
    rows = set(find_target("favas").tables["accuracy_spread"].rows)
    assert rows <= set(favas.ROWS.values())


def test_the_spreads_of_delays_are_their_files_cases() -> None:
    target = find_target("heterogeneity-tail")
    study = check_study(target.file("spread"), ["replications=1"])
    assert [case.label for case in study.cases] == list(heterogeneity_tail.SPREADS)
    for quantity in ("updates_to_95", "mean_staleness", "staleness_deviation"):
        assert list(target.tables[quantity].rows) == list(heterogeneity_tail.SPREADS.values())


def test_the_spread_of_staleness_is_that_of_aggregated_updates() -> None:
    run = curve("tasks", [0.1, 0.94, 0.95, 0.97])
    vars(run)["events"] = pd.DataFrame(
        {
            "kind": ["arrived", "aggregated", "arrived", "aggregated"],
            "time_us": [1, 1, 2, 2],
            "client": [0, 0, 1, 1],
            "staleness": pd.array([None, 1, None, 4], dtype="Int64"),
        }
    )
    found = heterogeneity_tail.measure({"spread": [run]})
    row = heterogeneity_tail.SPREADS["tasks"]
    assert found["updates_to_95"] == {row: [20.0]}
    assert found["mean_staleness"] == {row: [2.5]}
    assert found["staleness_deviation"][row] == [pytest.approx(4.5**0.5)]


def test_times_and_paired_differences_to_fedavg_on_the_same_fleet() -> None:
    runs = [
        curve("fedavg-0.7-r0", [0.1, 0.5, 0.96], seed=1),
        curve("fedavg-0.7-r1", [0.1, 0.5, 0.5, 0.96], seed=2),
        curve("safa-0.7-r0", [0.1, 0.96], seed=1),
        curve("safa-0.7-r1", [0.1, 0.92], seed=2),
        curve("safa-1.4", [0.1, 0.96], seed=1),
    ]
    measured = heterogeneity_tail.measure({"tail": runs})
    assert measured["seconds_to_95"] == {
        "FedAvg, sigma 0.7": [2.0, 3.0],
        "SAFA, sigma 0.7": [1.0, None],
        "SAFA, sigma 1.4": [1.0],
    }
    assert measured["difference_to_95"] == {"SAFA - FedAvg, sigma 0.7": [-1.0, None]}
    assert measured["difference_to_90"] == {"SAFA - FedAvg, sigma 0.7": [-1.0, -2.0]}


def test_updates_and_staleness_by_buffer() -> None:
    run = curve("c20-b5", [0.1, 0.5, 0.95], staleness={"mean": 3.5})
    measured = heterogeneity_concurrency.measure({"concurrency": [run]})
    row = "concurrency 20, buffer 5"
    assert measured["updates_to_95"] == {row: [20.0]}
    assert measured["mean_staleness"] == {row: [3.5]}


def test_differences_along_the_correlation_are_to_independence() -> None:
    runs = [curve("fedasync-0.0", [0.1, 0.95]), curve("fedasync-1.0", [0.1, 0.2, 0.2, 0.96])]
    measured = heterogeneity_labels.measure({"labels": runs})
    assert measured["difference_to_95"] == {"FedAsync, strength 1.0 - 0.0": [2.0]}


def test_what_staleness_costs_is_the_difference_of_accuracies() -> None:
    runs = [
        curve("constant-0.3-4", [0.1, 0.92]),
        curve("constant-0.3-16", [0.1, 0.91]),
        curve("constant-0.9-4", [0.1, 0.93]),
        curve("constant-0.9-16", [0.1, 0.85]),
    ]
    measured = fedasync.measure({"axes": runs})
    found = measured["difference"]
    assert found["constant, alpha 0.3: 16 - 4"] == [pytest.approx(-1.0)]
    assert found["constant, alpha 0.9: 16 - 4"] == [pytest.approx(-8.0)]
    assert measured["little_alpha_less_hurt"] == [True]


def test_who_is_ahead_is_told_by_replication() -> None:
    runs = [
        curve("quafl-r0", [0.1, 0.8], seed=1),
        curve("quafl-r1", [0.1, 0.7], seed=2),
        curve("fedavg-r0", [0.1, 0.6], seed=1),
        curve("fedavg-r1", [0.1, 0.75], seed=2),
    ]
    measured = quafl.measure({"mnist": runs})
    assert measured["quafl_before_fedavg"] == [True, False]
    assert measured["accuracy_at_500"]["QuAFL"] == [80.0, pytest.approx(70.0)]
    assert measured["notebook_quafl_before_fedavg"] == []


def test_margins_are_paired_by_seed() -> None:
    runs = [
        curve("quafl-r0", [0.1, 0.8], seed=1),
        curve("quafl-r1", [0.1, 0.7], seed=2),
        curve("fedbuff-quirks-r0", [0.1, 0.6], seed=1),
        curve("fedbuff-quirks-r1", [0.1, 0.75], seed=2),
    ]
    measured = quafl.measure({"notebook": runs})
    assert measured["ahead_of_quirky_fedbuff"]["interaction 4.375 s"] == pytest.approx([20, -5])
    assert measured["ahead_of_quirky_fedbuff"]["interaction 10 s"] == []


def test_a_mark_is_hollow_where_not_all_arrived_and_missing_where_most_did_not() -> None:
    with themed() as style:
        axes = new_figure(4, 3).subplots()
        found = {0.0: [1.0, 2.0, 3.0], 1.0: [4.0, 5.0, None], 2.0: [6.0, None, None]}
        draw_line(axes, found, "server", 0, style)
    marks = [line for line in axes.lines if line.get_linestyle() == "None"]
    at = [(float(m.get_xdata()[0]), float(m.get_ydata()[0])) for m in marks]
    assert at == [(0.0, 2.0), (1.0, 5.0)]
    assert [m.get_markerfacecolor() == m.get_color() for m in marks] == [True, False]


@pytest.mark.parametrize("name", OWN)
def test_figures_of_what_was_run_have_their_axes_named(name: str) -> None:
    target = find_target(name)
    module = importlib.import_module(target.analysis)
    runs = [curve(label, [0.1, 0.85, 0.96], staleness={"mean": 1.0}) for label in module.ROWS]
    for studies in ({OWN[name]: runs}, {OWN[name]: runs[:2]}):
        figure = module.draw(studies, target)
        assert all(axes.get_xlabel() for axes in figure.axes)
        assert figure.axes[0].get_ylabel()
        assert sum(len(axes.lines) for axes in figure.axes) > 0
