"""FedAvg's tables: which run gives which number."""

from __future__ import annotations

import pytest
from curves import curve

from afl_sim.analysis.papers import fedavg
from afl_sim.papers.target import find_target


def test_each_cell_is_the_crossing_of_its_own_runs() -> None:
    measured = fedavg.measure(
        {
            "table1": [
                curve("C0-r0", [0.1, 0.9, 0.95, 0.99]),
                curve("C0-r1", [0.1, 0.9, 0.95, 0.96], seed=2),
                curve("C0.1-r0", [0.1, 0.95, 0.99]),
                curve("C0.1-r1", [0.1, 0.98], seed=2),
                curve("C0.2-r0", [0.1, 0.99]),
                curve("C0.2-r1", [0.1, 0.99], seed=2),
            ],
            "table1-shards": [curve("fedavg-table1-shards", [0.1, 0.2, 0.98])],
            "table2": [curve("E5-B10", [0.1, 0.99]), curve("E1-B10", [0.1, 0.98, 1.0])],
        }
    )
    cells = measured["rounds_to_97"]
    assert cells["C=0 (one client), IID"] == [pytest.approx(2.5), None]
    assert cells["C=.1, IID"][0] == pytest.approx(1.5)
    assert cells["C=.1, non-IID"] == [pytest.approx(1 + 0.77 / 0.78)]
    assert measured["rounds_to_99"] == {
        "E=5, B=10": [pytest.approx(1.0)],
        "E=1, B=10": [pytest.approx(1.5)],
    }
    # What is not reached is no order.
    assert measured["more_clients_fewer_rounds"] == [True, False]
    assert measured["more_epochs_fewer_rounds"] == [True]


def test_the_search_of_rates_is_judged_by_rounds_or_by_late_accuracy() -> None:
    # Evaluated every 20 rounds: rounds 60, 80 and 100 count, round 120 does not.
    late = curve("shards-0.1-0.05", [0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 0.9], every=20)
    measured = fedavg.measure({"learning-rates": [curve("iid-0.1-0.2", [0.1, 0.97]), late]})
    assert measured["rounds_held_out"] == {"C=.1, IID, rate 0.2": [pytest.approx(1.0)]}
    assert measured["accuracy_held_out"] == {"C=.1, non-IID, rate 0.05": [pytest.approx(70.0)]}


def test_pixels_in_the_unit_interval_have_tables_of_their_own() -> None:
    measured = fedavg.measure(
        {
            "table1": [curve("C0.1", [0.1, 0.95, 0.99])],
            "initial-weights": [curve("C0.1-truncated-rate0.2", [0.1, 0.2, 0.3, 0.97])],
            "unit-table1": [curve("C0.1", [0.1, 0.99])],
            "unit-table1-choices": [curve("C0.1-xavier", [0.1, 0.95, 0.99])],
            "unit-table2": [curve("E1-B10", [0.1, 0.99])],
            "unit-table2-rates": [curve("E1-B10-rate0.2", [0.1, 0.98, 1.0])],
            "unit-learning-rates": [curve("iid-0-0.1", [0.1, 0.97])],
        }
    )
    assert measured["rounds_to_97"] == {"C=.1, IID": [pytest.approx(1.5)]}
    assert measured["rounds_initial_weights"] == {"truncated normal, rate 0.2": [3.0]}
    assert measured["unit_rounds_to_97"] == {"C=.1, IID": [pytest.approx(0.87 / 0.89)]}
    assert measured["unit_rounds_other_choices"] == {
        "C=.1, Xavier's initial weights": [pytest.approx(1.5)]
    }
    assert measured["rounds_to_99"] == {}
    assert measured["unit_rounds_to_99"] == {
        "E=1, B=10": [pytest.approx(1.0)],
        "E=1, B=10, rate 0.2": [pytest.approx(1.5)],
    }
    assert measured["unit_rounds_held_out"] == {"C=0, IID, rate 0.1": [pytest.approx(1.0)]}


def test_the_reported_rounds_are_those_of_the_paper() -> None:
    tables = find_target("fedavg").tables
    first = [row.reported for row in tables["rounds_to_97"].rows.values()]
    second = [row.reported for row in tables["rounds_to_99"].rows.values()]
    assert first == [316, 87, 77, 75, 70, 664, None]
    assert second == [20, 34, 626, 179, 234]


def test_the_figure_shows_curves_with_the_reported_rounds() -> None:
    studies = {"table1": [curve("C0.1", [0.1, 0.95, 0.99])]}
    (axes,) = fedavg.draw(studies, find_target("fedavg")).axes
    marks = [line for line in axes.lines if line.get_marker() == "X"]
    assert [(float(m.get_xdata()[0]), float(m.get_ydata()[0])) for m in marks] == [(87.0, 97.0)]
