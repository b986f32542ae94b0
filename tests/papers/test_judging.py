"""Measured beside reported: statistics by hand, tolerances, and how rows are written."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from tiny import write_target

from afl_sim.analysis.statistics import prediction_interval, quartiles
from afl_sim.errors import AflSimError, InputError
from afl_sim.papers.judging import Judged, judged
from afl_sim.papers.pages import notes, print_results, texts, to_csv, to_markdown, verdict
from afl_sim.papers.results import Results, checked, read_results
from afl_sim.papers.target import Target, load_target
from afl_sim.papers.words import Missed, Row, Superseded, Table, Tolerance

MADE = {
    "date": "2020-02-02",
    "command": "afl-sim reproduce tiny --scale full",
    "minutes": 1.25,
    "code": "0",
    "machine": "a machine",
    "torch": "2.9",
    "numerics": {},
}


def results(
    target: Target, tables: dict, claims: dict | None = None, scale: str = "full"
) -> Results:
    return Results(target.name, scale, MADE, {}, {}, tables, claims or {})  # type: ignore[arg-type]


def judge_one(target: Target, values: list[float | None], **table: object) -> Judged:
    """One row, reported as 10, of a table of its own."""
    tolerance = table.pop("tolerance", Tolerance(relative=0.1, because="x"))
    made = Table(
        quantity="q", title="Q", tolerance=tolerance, rows={"r": Row(reported=10)}, **table
    )
    changed = Target(**{**vars(target), "tables": {"q": made}, "claims": {}})
    (row,) = judged(changed, results(changed, {"q": {"r": values}} if values else {}))
    return row


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return load_target(write_target(tmp_path))


def test_the_mean_has_students_interval(target: Target) -> None:
    # mean 10, s = 1, n = 3: 10 +- t(2, .975) / sqrt(3), t = 4.3027
    row = judge_one(target, [9.0, 10.0, 11.0])
    assert row.measured == 10
    assert row.low == pytest.approx(10 - 4.3027 / math.sqrt(3), abs=1e-4)
    assert row.high == pytest.approx(10 + 4.3027 / math.sqrt(3), abs=1e-4)
    assert (row.n, row.reached, row.deviation, row.within) == (3, 3, 0, True)


def test_the_median_has_the_quartiles_and_counts_what_was_not_reached_as_late(
    target: Target,
) -> None:
    row = judge_one(target, [8.0, None, 10.0, 9.0, 13.0], statistic="median")
    assert (row.measured, row.low, row.high) == (10, 9, 13)
    assert (row.n, row.reached, row.within) == (5, 4, True)
    assert quartiles([1.0, 2.0, 3.0, 4.0]) == (1.75, 3.25)
    assert quartiles([1.0, 2.0, None]) == (1.5, None)


def test_there_is_no_mean_of_what_was_not_always_reached(target: Target) -> None:
    row = judge_one(target, [10.0, None])
    assert (row.measured, row.n, row.reached, row.within) == (None, 2, 1, False)


@pytest.mark.parametrize(
    ("tolerance", "near", "far"),
    [
        (Tolerance(relative=0.1, because="x"), 11.0, 11.01),
        (Tolerance(absolute=0.5, because="x"), 10.5, 10.51),
    ],
)
def test_a_tolerance_is_met_up_to_its_edge(
    target: Target, tolerance: Tolerance, near: float, far: float
) -> None:
    assert judge_one(target, [near], tolerance=tolerance).within is True
    assert judge_one(target, [far], tolerance=tolerance).within is False
    assert judge_one(target, [20 - near], tolerance=tolerance).within is True
    assert judge_one(target, [20 - far], tolerance=tolerance).within is False


def test_a_prediction_interval_holds_one_more_replication(target: Target) -> None:
    # of 11, 12, 13: 12 +- 4.3027 sqrt(4 / 3) = [7.03, 16.97]
    found = prediction_interval([11.0, 12.0, 13.0])
    assert (found.low, found.high) == (
        pytest.approx(7.0317, abs=1e-3),
        pytest.approx(16.9683, abs=1e-3),
    )
    spread = Tolerance(spread="prediction")
    assert judge_one(target, [11.0, 12.0, 13.0], tolerance=spread).within is True
    assert judge_one(target, [15.0, 16.0, 17.0], tolerance=spread).within is False
    assert judge_one(target, [11.0], tolerance=spread).within is None  # one has no spread


def test_a_prediction_interval_says_what_it_would_find(target: Target) -> None:
    page = to_markdown(target, results(target, {"seconds": {"all": [2.0, 2.5, 3.0, 2.5, 2.6]}}))
    said = "power: 80 % for a difference of 4.1 (n = 5) standard deviations of a replication."
    assert said in page
    assert "power" not in to_markdown(target, results(target, {"seconds": {"all": [2.0]}}))


def test_what_was_not_run_is_not_judged(target: Target) -> None:
    row = judge_one(target, [])
    assert (row.measured, row.n, row.within) == (None, 0, None)


def test_rows_are_written_with_doubt_and_deviation(target: Target) -> None:
    tables = {"versions": {"right": [5.0, 5.0], "wrong": [10.0, 10.0], "other": [7.0, 7.0]}}
    found = results(target, tables, {"ended": [True, False]})
    rows = [row for row in judged(target, found) if row.quantity == "versions"]
    columns = dict(texts(target.tables["versions"], rows))
    assert columns["reported"] == ["5.0", "8.0 (unconfirmed)", ""]
    assert columns["measured"] == ["5.0", "10.0", "7.0"]
    assert columns["tolerance"] == ["±0.5", "±0.5", ""]
    assert columns["within"] == ["yes", "no, +25.0 %", ""]
    page = to_markdown(target, found)
    assert "| all | 2.5 | not run here | prediction |" in page  # empty columns are left out
    assert "Tolerance ±0.5: it is a whole number." in page
    assert "- All runs come to their end: holds in 1 of 2 replications" in page
    assert verdict(target, found) == "1 of 2 rows within tolerance; 0 of 1 claims hold"
    (line,) = (line for line in to_csv(target, found).splitlines() if line.startswith("versions,w"))
    assert line == "versions,wrong,8,no,10,10,10,2,2,2,no,10 10"


def test_a_missed_row_has_its_cause_beside_the_verdict(target: Target) -> None:
    table = target.tables["versions"]
    cause = Missed(cause="it was counted twice", study="rounds")
    missed = table.model_copy(update={"missed": {"wrong": cause, "right": cause}})
    changed = dataclasses.replace(target, tables={**target.tables, "versions": missed})
    found = results(changed, {"versions": {"right": [5.0], "wrong": [10.0]}})
    right, wrong = judged(changed, found)[:2]
    assert (right.missed, wrong.missed) == (None, cause)  # a row that is within has not missed
    page = to_markdown(changed, found)
    (head,) = (line for line in page.splitlines() if "reported" in line and "cause" in line)
    assert head.endswith("| within | cause of the miss |")
    assert "| no, +25.0 % | it was counted twice (study rounds) |" in page


def test_what_another_table_judges_is_shown_and_counted_apart(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    table = target.tables["versions"]
    other = table.model_copy(update={"quantity": "again", "title": "Counted again"})
    old = table.model_copy(
        update={"superseded": Superseded(by="again", because="They were few", rows=("wrong",))}
    )
    changed = dataclasses.replace(target, tables={"versions": old, "again": other})
    values: dict = {"right": [5.0], "wrong": [10.0]}
    found = results(changed, {"versions": values, "again": {**values, "wrong": [8.0]}})
    assert [row.superseded for row in judged(changed, found)] == [False, True, *[False] * 4]
    said = "3 of 3 rows within tolerance; 0 of 1 rows that others supersede; 0 of 1 claims hold"
    assert verdict(changed, dataclasses.replace(found, claims={"ended": [False]})) == said
    page = to_markdown(changed, found)
    assert "no, +25.0 % (superseded)" in page
    line = "Superseded by the table *Counted again*: wrong. They were few."
    assert line in page
    print_results(changed, found)
    assert line in capsys.readouterr().out
    early = results(changed, {"versions": values})  # the other table has not been run
    assert verdict(changed, early) == "1 of 2 rows within tolerance"
    assert "superseded" not in to_markdown(changed, early).lower()
    whole = old.model_copy(update={"superseded": Superseded(by="again", because="All of them")})
    assert whole.superseded_rows() == ("right", "wrong")  # and not those without a reported number


def test_the_small_scale_says_what_it_cuts(target: Target) -> None:
    small = results(target, {"versions": {"right": [5.0]}}, scale="small")
    assert {row.quantity for row in judged(target, small)} == {"versions"}
    said = list(notes(target, small))
    assert "Left out at small scale: long (an hour)." in said
    assert "Meaningful at full scale only: Length of a round." in said


def test_results_are_read_as_they_were_written(target: Target, tmp_path: Path) -> None:
    found = results(target, {"versions": {"right": [5.0, None, 0.1]}}, {"ended": [True]})
    found.write(tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == found
    assert '"right": [5.0, null, 0.1]' in (tmp_path / "results.json").read_text()
    assert read_results(tmp_path / "nothing.json") is None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"tables": 3}, "tables: "),
        ({"tables": {"versions": {"right": ["x"]}}}, "tables.versions.right.0: "),
        ({"made": {}}, "made.date: expected text"),
        ({"claims": [1]}, "claims: "),
        ({"more": 1}, "unexpected keyword argument"),
        (None, "the whole: "),
        ("[" * 100_000, "recursion"),
    ],
)
def test_damaged_results_are_refused_with_the_file_and_the_place(
    damage: dict[str, Any] | str | None, words: str, target: Target, tmp_path: Path
) -> None:
    file = tmp_path / "results.json"
    results(target, {"versions": {"right": [5.0]}}).write(file)
    whole = json.loads(file.read_text())
    text = json.dumps({**whole, **damage} if isinstance(damage, dict) else damage)
    file.write_text(damage if isinstance(damage, str) else text)
    with pytest.raises(InputError) as found:
        read_results(file)
    assert str(found.value).startswith(f"{file} is damaged: ")
    assert words in str(found.value)


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ({"version": {}}, "did you mean 'versions'?"),
        ({"versions": {"rihgt": [1.0]}}, "did you mean 'right'?"),
        ({"versions": {"right": [math.nan]}}, "not finite"),
    ],
)
def test_a_measure_that_the_target_does_not_ask_for_is_an_error(
    target: Target, measured: dict, words: str
) -> None:
    with pytest.raises(AflSimError) as caught:
        checked(target, "full", measured)
    assert words in str(caught.value)
