"""What is published of each paper agrees with itself: target, results, tables."""

from __future__ import annotations

import importlib

import pytest

from afl_sim.papers.judging import judged
from afl_sim.papers.pages import to_csv
from afl_sim.papers.results import read_results
from afl_sim.papers.target import SCALES, Scale, find_target, paper_folder, target_names
from afl_sim.run.validation import check_study
from afl_sim.scenario.bundled import find_scenario

NAMES = target_names()


@pytest.mark.parametrize("name", NAMES)
def test_a_target_has_a_page_and_an_analysis(name: str) -> None:
    target = find_target(name)
    module = importlib.import_module(target.analysis)
    assert callable(module.measure)
    assert callable(module.draw) or target.figure is None
    readme = (target.folder / "README.md").read_text(encoding="utf-8")
    assert f"afl-sim reproduce {name}" in readme
    assert "\n<!-- results: made by docs/generate.py -->\n" in readme  # docs/generate.py fills it


@pytest.mark.parametrize("name", NAMES)
def test_its_scenarios_are_valid_at_both_scales_and_have_names(name: str) -> None:
    target = find_target(name)
    for scale in SCALES:
        for study in target.studies_at(scale):
            check_study(
                target.file(study),
                target.settings_at(scale, study),
                timing_only=target.studies[study].timing_only,
            )
    for runs in target.studies.values():
        built_in = f"papers/{name}/{runs.file.removesuffix('.yaml')}"
        assert find_scenario(built_in) == paper_folder() / name / runs.file


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_the_kept_table_is_that_of_the_kept_values(name: str, scale: Scale) -> None:
    target = find_target(name)
    results = read_results(target.results(scale))
    if results is None:
        pytest.skip("not run")
    assert (results.target, results.scale) == (name, scale)
    table = target.results(scale).with_suffix(".csv").read_text(encoding="utf-8")
    assert to_csv(target, results) == table
    for quantity, rows in results.tables.items():
        assert set(rows) <= set(target.tables[quantity].rows)
    assert any(row.n for row in judged(target, results)) or results.claims


@pytest.mark.parametrize("name", NAMES)
def test_each_number_that_is_missed_has_a_cause_that_a_kept_study_shows(name: str) -> None:
    target = find_target(name)
    results = read_results(target.results("full"))
    if results is None:
        pytest.skip("not run")
    rows = judged(target, results)
    for quantity, table in target.tables.items():
        missed = {row.row for row in rows if row.quantity == quantity and row.within is False}
        assert missed == set(table.missed), quantity
        assert {why.study for why in table.missed.values()} <= set(results.studies), quantity
