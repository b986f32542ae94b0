"""Tables for papers: digits, bold, what is left out, times that were not reached, and the forms."""

import math
from dataclasses import replace

import pytest
from fake_runs import fake_run
from hypothesis import given
from hypothesis import strategies as st

from afl_sim.analysis.paper_forms import (
    matrix_to_markdown,
    notes,
    to_csv,
    to_latex,
    to_markdown,
)
from afl_sim.analysis.paper_table import (
    difference_matrix,
    paper_table,
    text_of,
)
from afl_sim.analysis.replications import groups
from afl_sim.analysis.rounding import decimals, rounded
from afl_sim.analysis.statistics import Interval, share_interval, student_interval
from afl_sim.errors import InputError


def settings(tmp_path, measured_by_label, ends=600.0):
    """Runs of settings with the measures of each replication, as `measure_all` would give them."""
    members, measured = [], {}
    for label, rows in measured_by_label.items():
        for n, row in enumerate(rows):
            run = fake_run(tmp_path / f"{label}{n}", strategy=label, updates=3, seed=n, clients=3)
            run.summary["virtual_seconds"] = ends if isinstance(ends, float) else ends[n]
            members.append(replace(run, title=label))
            measured[run.path] = row
    return groups(members), measured


def column(name, values):
    return [{name: value} for value in values]


@pytest.mark.parametrize(
    ("mean", "half", "expected"),
    [
        (412.37, 35.4, "412 ± 35"),
        (412.37, 3.54, "412.4 ± 3.5"),
        (412.37, 3.56, "412 ± 4"),
        (96.613, 0.123, "96.61 ± 0.12"),
        (96.613, 0.0967, "96.61 ± 0.10"),
        (96.613, 0.99951, "96.6 ± 1.0"),
        (54321.0, 1234.0, "54300 ± 1200"),
        (54321.0, 5678.0, "54000 ± 6000"),
        (-0.0123, 0.0456, "-0.01 ± 0.05"),
        (600.0, 0.0, "600"),
        (1.23456, 0.0, "1.235"),
        (123456.7, 0.0, "123457"),
        (math.nan, math.nan, "-"),
    ],
)
def test_an_error_keeps_the_digits_of_the_particle_data_groups_rule(mean, half, expected):
    assert rounded(Interval(mean, mean - half, mean + half, 3)) == expected


@given(st.floats(1e-9, 1e9))
def test_a_rounded_error_is_close_and_has_two_digits_at_most(error):
    places = decimals(error)
    short = round(error, places)
    assert short == pytest.approx(error, rel=0.15)
    assert len(f"{short * 10.0**places:.0f}") <= 2 + (short * 10.0**places > 99)


def test_a_single_run_has_no_interval(tmp_path):
    members, measured = settings(tmp_path, {"a": column("mean_staleness", [1.23456])})
    table = paper_table(members, ["staleness"], measured)
    assert text_of(table.columns[0].entries[0]) == "1.235"
    assert notes(table)[0] == "Single runs, without an interval."


def test_the_best_is_bold_only_if_it_is_told_apart_from_every_other(tmp_path):
    apart = {"a": [10.0, 11.0, 12.0], "b": [20.0, 21.5, 22.0], "c": [30.0, 29.0, 31.0]}
    rows = {label: column("seconds_to_0.9", values) for label, values in apart.items()}
    members, measured = settings(tmp_path / "apart", rows)
    table = paper_table(members, ["time_to_accuracy"], measured)
    assert [entry.best for entry in table.columns[0].entries] == [True, False, False]
    assert "| a | **11.0 ± 2.5** |" in to_markdown(table)
    close = {**apart, "b": [9.0, 13.0, 11.5]}
    rows = {label: column("seconds_to_0.9", values) for label, values in close.items()}
    members, measured = settings(tmp_path / "close", rows)
    table = paper_table(members, ["time_to_accuracy"], measured)
    assert not any(entry.best for entry in table.columns[0].entries)


def test_of_accuracy_the_largest_is_the_best(tmp_path):
    rows = {"a": [0.90, 0.91, 0.92], "b": [0.95, 0.96, 0.97]}
    members, measured = settings(
        tmp_path, {label: column("final_accuracy", values) for label, values in rows.items()}
    )
    table = paper_table(members, ["final"], measured)
    assert [entry.best for entry in table.columns[0].entries] == [False, True]
    assert text_of(table.columns[0].entries[1]) == "96.0 ± 2.5"
    assert table.columns[0].heading == "final accuracy (%)"


def test_what_is_the_same_everywhere_is_told_once(tmp_path):
    rows = {
        label: [{"virtual_seconds": 600.0, "mean_staleness": value} for value in values]
        for label, values in {"a": [1.0, 2.0], "b": [3.0, 5.0]}.items()
    }
    members, measured = settings(tmp_path, rows)
    table = paper_table(members, ["time", "staleness"], measured)
    assert [each.name for each in table.columns] == ["mean_staleness"]
    assert "The same in all settings: virtual time (s) 600." in notes(table)


def test_times_that_were_not_reached_restrict_all_to_the_first_end(tmp_path):
    rows = {
        "a": column("seconds_to_0.9", [100.0, 200.0, 650.0]),
        "b": column("seconds_to_0.9", [None, 300.0, 590.0]),
    }
    members, measured = settings(tmp_path, rows, ends=[600.0, 700.0, 800.0])
    table = paper_table(members, ["time_to_accuracy"], measured)
    (times,) = table.columns
    assert times.until == 600.0
    assert times.entries[0].interval == student_interval([100.0, 200.0, 600.0])
    assert times.entries[1].interval == student_interval([600.0, 300.0, 590.0])
    assert text_of(times.entries[1]).endswith("(2 of 3)")
    assert any("restricted to 600 s" in note for note in notes(table))


def test_shares_stay_within_their_bounds():
    values = [0.99, 0.80, 0.999]
    assert student_interval(values).high > 1
    found = share_interval(values)
    assert 0 < found.low < found.mean < found.high < 1
    assert found.mean == student_interval(values).mean
    assert "[" in rounded(Interval(*(100 * x for x in (found.mean, found.low, found.high)), 3))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_an_interval_of_shares_is_never_beyond_0_and_1(values):
    found = share_interval(values)
    assert 0 <= found.low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= found.high <= 1


def test_shares_far_from_their_bounds_have_students_interval():
    assert share_interval([0.5, 0.52, 0.49]) == student_interval([0.5, 0.52, 0.49])


def test_the_matrix_has_each_pair_twice_with_opposite_signs(tmp_path):
    rows = {"a": [1.0, 2.0, 3.0], "b": [2.0, 3.5, 4.0], "c": [9.0, 9.5, 10.5]}
    members, measured = settings(
        tmp_path, {label: column("mean_staleness", values) for label, values in rows.items()}
    )
    matrix = difference_matrix(members, "mean_staleness", measured)
    assert [matrix[i][i] for i in range(3)] == [None] * 3
    assert matrix[1][0] == student_interval([1.0, 1.5, 1.0])
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert matrix[i][j].mean == -matrix[j][i].mean
    written = matrix_to_markdown("mean_staleness", list(rows), matrix)
    assert "| b | **1.2 ± 0.7** |  |" in written


def test_latex_has_booktabs_rules_narrow_headings_and_bold_formulas(tmp_path):
    rows = {"fed_avg": [10.0, 11.0, 12.0], "b": [20.0, 21.5, 22.0]}
    members, measured = settings(
        tmp_path, {label: column("seconds_to_0.9", values) for label, values in rows.items()}
    )
    table = paper_table(members, ["time_to_accuracy"], measured)
    lines = [line for line in to_latex(table).splitlines() if not line.startswith("%")]
    assert lines == [
        r"\begin{tabular}{@{}lr@{}}",
        r"\toprule",
        r" & time to 90 \\",
        r" & \% (s) \\",
        r"\midrule",
        r"fed\_avg & {\boldmath $11.0 \pm 2.5$} \\",
        r"b & $21.2 \pm 2.6$ \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert r"fed\_avg & \textbf{\num{11.0 \pm 2.5}} \\" in to_latex(table, siunitx=True)


def test_csv_is_in_full_precision(tmp_path):
    members, measured = settings(
        tmp_path, {"a": column("mean_staleness", [1.0, 2.0]), "b": column("mean_staleness", [4, 4])}
    )
    header, first, *_ = to_csv(paper_table(members, ["staleness"], measured)).splitlines()
    cells = dict(zip(header.split(","), first.split(","), strict=True))
    interval = student_interval([1.0, 2.0])
    assert [float(cells[name]) for name in ("mean", "low", "high")] == [
        interval.mean,
        interval.low,
        interval.high,
    ]


def test_an_unknown_measure_is_refused_with_the_nearest(tmp_path):
    members, measured = settings(tmp_path, {"a": column("mean_staleness", [1.0])})
    with pytest.raises(InputError, match=r"no run has a measure 'stalenes'.*mean 'staleness'"):
        paper_table(members, ["stalenes"], measured)


def test_the_names_of_settings_are_their_titles(tmp_path):
    rows = {"fedbuff K=1": column("versions", [3]), "fedbuff K=5": column("versions", [4])}
    members, measured = settings(tmp_path, rows)
    assert paper_table(members, ["versions"], measured).settings == tuple(rows)


def test_a_spreadsheet_finds_no_formula_in_a_title(tmp_path):
    members, measured = settings(
        tmp_path, {"=1+1": column("mean_staleness", [1.0]), "b": column("mean_staleness", [2.0])}
    )
    assert "'=1+1,mean staleness" in to_csv(paper_table(members, ["staleness"], measured))
