"""FedAvg's tables: which run gives which number."""

from __future__ import annotations

import pytest
from curves import curve

from afl_sim.analysis.papers import fedavg
from afl_sim.analysis.papers.fedavg_scale import DECIDING, confirmed
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
            "table2-fedsgd-standardised-0.1": [
                curve("FedSGD-standardised-rate0.1", [0.1, 0.98, 1.0], every=5)
            ],
            "table2-5-inf-0.15": [curve("E5-Binf-rate0.15", [0.1, 0.9, 0.98], every=5)],
            "initial-weights-cnn": [curve("E1-B10-truncated-rate0.05", [0.1, 0.98, 1.0])],
            "further-Binf-lower": [curve("iid-Binf-C0.1-rate0.2", [0.1, 0.95, 0.99])],
            "unit-table1": [curve("C0.1", [0.1, 0.99])],
            "unit-table1-choices": [curve("C0.1-xavier", [0.1, 0.95, 0.99])],
            "unit-table2": [curve("E1-B10", [0.1, 0.99])],
            "unit-table2-rates": [curve("E1-B10-rate0.2", [0.1, 0.98, 1.0])],
            "unit-learning-rates": [curve("iid-0-0.1", [0.1, 0.97])],
        }
    )
    assert measured["rounds_to_97"] == {"C=.1, IID": [pytest.approx(1.5)]}
    assert measured["rounds_initial_weights"] == {"truncated normal, rate 0.2": [3.0]}
    assert measured["rounds_to_99_initial_weights"] == {
        "E=1, B=10, truncated normal, rate 0.05": [pytest.approx(1.5)]
    }
    assert measured["rounds_to_99_other_choices"] == {
        "FedSGD, pixels standardised, rate 0.1": [pytest.approx(7.5)],
        "E=5, B=inf, rate 0.15": [None],
    }
    assert measured["further_other_rates"] == {"C=.1, IID, B=inf, rate 0.2": [pytest.approx(1.5)]}
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


def test_the_cells_that_decide_are_rows_with_their_reported_rounds() -> None:
    rows = find_target("fedavg").tables["further_rounds_to_97"].rows
    assert set(DECIDING) < set(rows)
    assert {row: rows[row].reported for row in DECIDING} == DECIDING
    assert set(fedavg.FURTHER.values()) == set(rows)


def test_other_choices_have_a_row_and_a_study_each() -> None:
    target = find_target("fedavg")
    rows = target.tables["rounds_to_99_other_choices"].rows
    assert list(fedavg.FULL_BATCH.values()) == list(rows)
    assert set(fedavg.ALL_FULL_BATCH) < set(target.studies)
    rows = target.tables["rounds_to_99_initial_weights"].rows
    assert list(fedavg.INITIAL_CNN.values()) == list(rows)


def cells(*ratios: float | None) -> dict[str, list[float | None]]:
    """Measured rounds of the eight cells, as ratios of the reported ones."""
    pairs = zip(DECIDING.items(), ratios, strict=True)
    return {row: [ratio if ratio is None else ratio * rounds] for (row, rounds), ratio in pairs}


HALF = cells(*[0.5] * 8)


@pytest.mark.parametrize(
    ("centred", "unit", "holds"),
    [
        (cells(*[1.1] * 7, 0.3), HALF, True),  # 7 within and nearer
        (cells(*[1.1] * 5, *[0.55] * 2, 0.3), HALF, True),  # 5 within, 7 nearer
        (cells(*[1.1] * 4, *[0.55] * 3, 0.3), HALF, False),  # 4 within
        (cells(*[1.1] * 6, 0.3, 0.3), HALF, False),  # 6 nearer
        (cells(*[1.1] * 6, None, None), HALF, False),  # what is not reached is farther away
        (cells(*[1.1] * 7, None), cells(*[None] * 8), True),  # neither reaches the last
        (cells(*[1.1] * 6, None, None), cells(*[None] * 8), False),  # a tie is not nearer
        (cells(*[1.1] * 8), cells(*[1.2] * 8), False),  # as many are within with the other
        # By the logarithm 0.7 is farther from 1 than 1.4 is: the other is nearer in five.
        (cells(*[0.7] * 5, *[1.0] * 3), cells(*[1.4] * 5, *[2.0] * 3), False),
    ],
)
def test_the_scale_is_confirmed_by_the_rule_written_before_the_runs(
    centred: dict[str, list[float | None]], unit: dict[str, list[float | None]], holds: bool
) -> None:
    assert confirmed(centred, unit) == [holds]


def test_a_scale_is_not_judged_before_all_cells_are_there() -> None:
    full = cells(*[1.0] * 8)
    assert confirmed(full, dict(list(HALF.items())[1:])) == []


def test_the_rates_of_further_cells_are_judged_by_the_best_accuracy_so_far() -> None:
    runs = [
        curve("shards-B10-C0.1-0.05", [0.1, 0.9, 0.8], every=5),
        curve("iid-Binf-C0-0.4", [0.1, 0.95, 0.99], every=5),
    ]
    measured = fedavg.measure({"further-rates": runs, "unit-further-rates": runs})
    rows = "C=.1, non-IID, B=10, rate 0.05", "C=0, IID, B=inf, rate 0.4"
    assert measured["further_held_out"] == {
        rows[0]: [pytest.approx(90)],
        rows[1]: [pytest.approx(99)],
    }
    assert measured["unit_further_held_out"] == measured["further_held_out"]
    assert measured["unit_further_rounds_held_out"] == {rows[1]: [pytest.approx(7.5)]}


def test_the_figure_shows_further_cells_with_both_scales() -> None:
    studies = {
        "further-C0.2": [curve("shards-B10-C0.2", [0.1, 0.95, 0.99])],
        "unit-further-C0.2": [curve("shards-B10-C0.2", [0.1, 0.96, 0.99])],
    }
    (axes,) = fedavg.draw(studies, find_target("fedavg")).axes
    lines = {line.get_linestyle(): list(line.get_ydata()) for line in axes.lines[::2]}
    assert lines == {"-": [95.0, 99.0], "--": [96.0, 99.0]}
    (legend,) = axes.get_legend().get_texts()
    assert legend.get_text() == "C=.2, non-IID, B=10"
    measured = fedavg.measure(studies)
    row = "C=.2, non-IID, B=10"
    assert measured["further_rounds_to_97"] == {row: [pytest.approx(1.5)]}
    assert measured["unit_further_rounds_to_97"] == {row: [pytest.approx(1 + 1 / 3)]}
    assert measured["scale_confirmed"] == []
