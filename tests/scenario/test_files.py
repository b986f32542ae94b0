"""The files of scenarios/: each runs, and those of the themes agree with their answers."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import ROOT

from afl_sim.cli.listing import listing
from afl_sim.run.api import load_study, simulate

FILES = sorted((ROOT / "scenarios").glob("*.yaml"))
SMALLER = {"million-clients": ["strategy.concurrency=100", "strategy.buffer_size=10"]}
"""What makes a file small enough for a test."""


@pytest.fixture(scope="module")
def pages() -> Any:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import scenarios
    finally:
        sys.path.remove(str(ROOT / "docs"))
    return scenarios


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_valid_and_its_timing_runs(file: Path) -> None:
    study = load_study(file, [*SMALLER.get(file.stem, []), "stop.versions=2"], timing_only=True)
    assert study.name == file.stem
    run = simulate(study.cases[-1].scenario, timing_only=True)
    assert run.status == "complete"
    assert run.summary["updates"]["aggregated"] > 0


def test_every_file_says_what_it_is_for() -> None:
    told = dict(listing("scenarios"))
    assert sorted(told) == sorted(file.stem for file in FILES)
    assert all(len(text) > 40 for text in told.values())


def test_every_theme_asks_a_question_and_is_in_the_readme(pages: Any) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for theme in pages.THEMES:
        assert pages.question(theme).count("?") == 1
        assert f"`{theme.name}`" in readme
        assert f"afl-sim run {theme.name} " in pages.page()


def test_the_figures_are_of_the_files_cases(pages: Any) -> None:
    kept = pages.figures()
    assert list(kept) == [theme.name for theme in pages.THEMES]
    for theme in pages.THEMES:
        study = load_study(ROOT / "scenarios" / f"{theme.name}.yaml")
        cases = dict.fromkeys(pages.case_of(case.label) for case in study.cases)
        assert list(kept[theme.name]["cases"]) == list(cases)
        assert kept[theme.name]["runs"] == len(study.cases)
        for row in kept[theme.name]["cases"].values():
            assert list(row) == list(theme.columns)
            assert all(len(values) == len(study.cases) // len(cases) for values in row.values())


@pytest.mark.parametrize(
    "name",
    [
        *("stragglers", "bimodal-devices", "thin-uplink", "server-link", "diurnal", "churn"),
        *("crash-faults", "device-trace", "fast-clients-few-labels"),
    ],
)
def test_the_timing_in_the_page_is_what_the_file_gives(name: str, pages: Any) -> None:
    (theme,) = [theme for theme in pages.THEMES if theme.name == name]
    cases = load_study(ROOT / "scenarios" / f"{name}.yaml").cases
    kept = pages.figures()[name]["cases"]
    for case in (cases[0], cases[-1]):
        run = simulate(case.scenario, timing_only=True)
        row = kept[pages.case_of(case.label)]
        replication = int((re.findall(r"-r(\d+)$", case.label) or ["0"])[0])
        known = [column for column in theme.columns if pages.MEASURES[column].schedule]
        assert known
        for column in known:
            found = pages.rounded(pages.MEASURES[column].of(run))
            assert found == row[column][replication], column


def test_an_answer_cannot_quote_what_some_run_did_not_reach(pages: Any) -> None:
    assert re.findall(r"\bnan\b", pages.page()) == []


def test_headings_are_those_of_the_files(pages: Any) -> None:
    page = pages.PAGE.read_text(encoding="utf-8")
    for theme in pages.THEMES:
        text = (ROOT / "scenarios" / f"{theme.name}.yaml").read_text(encoding="utf-8")
        assert " ".join(yaml.safe_load(text)["description"].split()) in page
        if theme.picture is not None:
            content = pages.picture(theme).read_bytes()
            assert content.startswith(b"\x89PNG")
            assert len(content) < 160_000
