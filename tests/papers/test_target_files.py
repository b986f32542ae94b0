"""What a ``target.yaml`` may say, and how its mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import ROOT
from tiny import TARGET, write_target

from afl_sim.errors import InputError, ScenarioError
from afl_sim.papers.target import find_target, load_target
from afl_sim.papers.words import Row
from afl_sim.run.validation import check_study


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """The tiny target with one thing different."""
    place = write_target(tmp_path)
    assert TARGET.count(old) == 1
    (place / "target.yaml").write_text(TARGET.replace(old, new))
    return place


def line_of(text: str) -> int:
    (number,) = (n for n, line in enumerate(TARGET.splitlines(), 1) if text in line)
    return number


def test_a_row_is_a_number_or_nothing_or_a_block(tmp_path: Path) -> None:
    target = load_target(write_target(tmp_path))
    rows = target.tables["versions"].rows
    assert rows["right"] == Row(reported=5)
    assert rows["wrong"] == Row(reported=8, confirmed=False)
    assert rows["other"].reported is None
    assert target.name == "tiny"
    assert target.studies_at("small") == ["rounds"]
    assert target.studies_at("full") == ["rounds", "long"]
    assert [s.keys for s in target.settings_at("small", "rounds")] == ["replications"]
    assert target.settings_at("full", "rounds") == ()


def test_studies_may_be_parts_of_one_file(tmp_path: Path) -> None:
    small = "small: {set: {replications: 2}, cut: 2 seeds of 4}}"
    place = changed(tmp_path, small, f"set: {{stop.versions: 7, replications: 3}}, {small}")
    target = load_target(place)
    full, at_small = (
        check_study(target.file("rounds"), target.settings_at(scale, "rounds"), timing_only=True)
        for scale in ("full", "small")
    )
    assert (len(full.cases), len(at_small.cases)) == (3, 2)  # of 4 in the file
    for study in (full, at_small):
        assert {case.scenario.stop.versions for case in study.cases} == {7}  # 5 in the file


WRONG = {
    "key": ("figure:", "figre:", "figre", "did you mean 'figure'?"),
    "study key": ("cost:", "csot:", "studies.long.csot", "did you mean 'cost'?"),
    "row": ("right: 5", "right: five", "tables.0.rows.right", "got 'five'"),
    "row key": ("confirmed", "confirmd", "tables.0.rows.wrong.confirmd", "'confirmed'?"),
    "file": (
        "{file: rounds.yaml, timing_only: true, small: skip",
        "{file: round.yaml, timing_only: true, small: skip",
        "studies.long.file",
        "there is no file",
    ),
    "no reason": (", because: it is a whole number", "", "tables.0.tolerance", "the reason"),
    "two rules": ("absolute: 0.5", "absolute: 1, relative: 1", "tables.0.tolerance", "has both"),
    "no tolerance": (
        "    tolerance: {spread: prediction}\n",
        "",
        "tables.1.rows.all",
        "neither it nor its table has a tolerance",
    ),
    "format": ('"{:.1f}"', '"{:.1"', "tables.0.format", "cannot format a number"),
    "twice": ("quantity: ended", "quantity: seconds", "claims.0.quantity", "twice"),
    "quoted": ("wrong: {reported: 8", 'wrong: {reported: "8"', "wrong.reported", "a number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_told_once_with_its_line(tmp_path: Path, name: str) -> None:
    old, new, key, words = WRONG[name]
    place = changed(tmp_path, old, new)
    with pytest.raises(ScenarioError) as caught:
        load_target(place)
    (line,) = str(caught.value).splitlines()
    number = line_of(old.strip().splitlines()[0]) if name != "no tolerance" else None
    where, _, said = line.partition(": ")
    file, _, told = where.rpartition(":")
    assert file == str(place / "target.yaml")
    assert number is None or int(told) == number
    assert key in said
    assert words in said


AFTER_ROWS = {
    "missed row": (
        "missed: {rihgt: {cause: it rained, study: rounds}}",
        "missed.rihgt: is not a row with a reported number; did you mean 'right'?",
    ),
    "missed, not reported": (
        "missed: {other: {cause: it rained, study: rounds}}",
        "missed.other: is not a row with a reported number",
    ),
    "missed study": (
        "missed: {wrong: {cause: it rained, study: round}}",
        "missed.wrong.study: there is no study 'round'; expected one of rounds, long; "
        "did you mean 'rounds'?",
    ),
    "no cause": ("missed: {wrong: {study: rounds}}", "missed.wrong.cause"),
    "superseded by nothing": (
        "superseded: {by: second, because: it rained}",
        "superseded.by: there is no other table 'second'; expected one of seconds; "
        "did you mean 'seconds'?",
    ),
    "superseded by itself": (
        "superseded: {by: versions, because: it rained}",
        "superseded.by: there is no other table 'versions'",
    ),
    "superseded, no such row": (
        "superseded: {by: seconds, because: it rained, rows: [other]}",
        "superseded.rows: 'other' is not a row with a reported number",
    ),
    "superseded by another number": (
        "superseded: {by: seconds, because: it rained, rows: [right]}",
        "superseded.by: seconds has no row 'right' with the reported number 5",
    ),
}


@pytest.mark.parametrize("name", AFTER_ROWS)
def test_a_cause_and_a_successor_are_of_rows_that_are_there(tmp_path: Path, name: str) -> None:
    added, said = AFTER_ROWS[name]
    place = changed(tmp_path, "      other: null\n", f"      other: null\n    {added}\n")
    with pytest.raises(ScenarioError) as caught:
        load_target(place)
    (line,) = str(caught.value).splitlines()
    number = line_of("other: null") + 1
    assert line.startswith(f"{place / 'target.yaml'}:{number}: tables.0.{said}")


def test_a_row_does_not_count_nowhere(tmp_path: Path) -> None:
    again = (
        "  - quantity: again\n    title: Counted again\n"
        "    tolerance: {absolute: 0.5, because: it is a whole number}\n"
        "    rows: {right: 5, wrong: 8}\n"
    )
    back = "    superseded: {by: versions, because: it rained}\n"
    old = "      other: null\n"
    new = f"{old}    superseded: {{by: again, because: it rained}}\n{again}"
    place = changed(tmp_path, old, new)
    assert load_target(place).tables["versions"].superseded
    (place / "target.yaml").write_text(TARGET.replace(old, new + back))
    with pytest.raises(ScenarioError, match="'right' of again is superseded, too") as caught:
        load_target(place)
    assert len(str(caught.value).splitlines()) == 4  # both rows of both tables


def test_the_target_of_the_documentation_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
    place = tmp_path / "mine"
    place.mkdir()
    (place / "target.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    for name in ("rounds.yaml", "curves.yaml"):
        (place / name).touch()
    target = load_target(place)
    assert target.analysis == "my_analysis"
    assert list(target.claims) == ["fedbuff_arrives"]
    assert target.tables["round_seconds"].rows["FedBuff"].reported == 61


def test_a_median_has_no_prediction_interval(tmp_path: Path) -> None:
    place = changed(tmp_path, "    unit: s\n", "    unit: s\n    statistic: median\n")
    with pytest.raises(ScenarioError, match="statistic: mean"):
        load_target(place)


def test_a_target_is_found_by_its_folder_and_a_wrong_name_is_told(tmp_path: Path) -> None:
    assert find_target(str(write_target(tmp_path))).title == "Rounds of a tiny fleet"
    with pytest.raises(InputError, match="no target 'nothing'"):
        find_target("nothing")
