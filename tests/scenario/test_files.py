"""The files of scenarios/: each runs, and those of the themes agree with their answers."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from places import ROOT
from published_files import qmnist

from afl_sim.cli.listing import listing
from afl_sim.errors import ScenarioError
from afl_sim.run.api import read_study, simulate
from afl_sim.run.validation import check_study

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
    study = read_study(file, [*SMALLER.get(file.stem, []), "stop.versions=2"], timing_only=True)
    assert study.name == file.stem
    run = simulate(study.cases[-1].scenario, timing_only=True)
    assert run.status == "complete"
    assert run.summary["updates"]["aggregated"] > 0


@pytest.mark.parametrize(
    ("name", "metric"), [("addresses", "perplexity"), ("writers", "accuracy"), ("diabetes", "rmse")]
)
def test_a_study_of_other_data_trains(name: str, metric: str) -> None:
    quick = ["stop.updates=1", "evaluation.samples=10", "evaluation.per_client=false"]
    study = read_study(ROOT / "scenarios" / f"{name}.yaml", quick)
    run = simulate(study.cases[-1].scenario)
    assert run.main_metric == metric
    assert np.isfinite(run.evaluations[metric]).all()


def test_the_texts_are_windows_of_each_presidents_words_and_what_follows_them() -> None:
    table = pd.read_parquet(ROOT / "scenarios" / "data" / "addresses.parquet")
    inputs, labels = np.stack(table["inputs"]), np.stack(table["labels"])
    assert inputs.shape == labels.shape == (4300, 80)
    assert (table["client"].value_counts() == 100).all()
    assert np.array_equal(inputs[:, 1:], labels[:, :-1])
    follows = (table["client"] == table["client"].shift(-1))[:-1]
    assert np.array_equal(inputs[1:, 0][follows], labels[:-1, -1][follows])
    assert inputs.max() == labels.max() == 32


def test_the_scenario_for_qmnist_takes_the_users_files(tmp_path: Path) -> None:
    file = ROOT / "scenarios" / "your-files" / "qmnist-writers.yaml"
    with pytest.raises(ScenarioError, match=r"set data\.root to a folder that holds QMNIST/raw"):
        check_study(file)
    qmnist(tmp_path)
    small = ["clients.count=3", "data.partition.min_samples=1", "strategy.clients_per_round=2"]
    few = ["sweep=null", "stop.updates=2", "evaluation.samples=4", f"data.root={tmp_path}"]
    run = simulate(read_study(file, [*small, *few]).cases[0].scenario)
    assert run.status == "complete"


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
        study = read_study(ROOT / "scenarios" / f"{theme.name}.yaml")
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
        *("crash-faults", "device-trace", "fast-clients-few-labels", "phones-and-desktops"),
        "varying-uplink",
        *("addresses", "writers", "diabetes", "own-heads", "adaptive-server"),
        *("energy", "model-by-device"),
    ],
)
def test_the_timing_in_the_page_is_what_the_file_gives(name: str, pages: Any) -> None:
    (theme,) = [theme for theme in pages.THEMES if theme.name == name]
    cases = read_study(ROOT / "scenarios" / f"{name}.yaml").cases
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
