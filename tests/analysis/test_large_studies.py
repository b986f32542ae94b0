"""Studies of many runs: what belongs to the study is read and computed once, not once for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from places import SMALLEST

from afl_sim import run_study
from afl_sim.analysis import replications
from afl_sim.analysis.replications import groups
from afl_sim.recording import load_runs, study_index

RUNS = 6


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large") / "study"
    sweep = "sweep={strategy.buffer_size: [2, 3], strategy.concurrency: [5, 6, 7]}"
    run_study(SMALLEST, folder, settings=[sweep, "stop.updates=6"], timing_only=True)
    return folder


def test_the_index_of_a_study_is_not_read_for_each_run(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(
        study_index,
        "read_json",
        lambda path, read_json=study_index.read_json: read.append(path) or read_json(path),
    )
    study_index._titles.cache_clear()
    titled = [run.title for run in load_runs([study])]
    assert len(titled) == RUNS
    assert all(titled)
    assert len(read) == 2  # which runs there are, and what they are called


def test_an_index_that_has_changed_is_read_again(study: Path, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"runs": ["a"], "titles": {"a": "first"}}')
    assert study_index.titles_in(tmp_path) == {"a": "first"}
    (tmp_path / "other.json").write_text('{"runs": ["a"], "titles": {"a": "other"}}')
    (tmp_path / "other.json").replace(tmp_path / "study.json")
    assert study_index.titles_in(tmp_path) == {"a": "other"}
    (tmp_path / "study.json").unlink()
    assert study_index.titles_in(tmp_path) == {}


def test_the_settings_of_a_run_are_written_down_once(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = load_runs([study])
    written: list[Any] = []

    class Counting:
        @staticmethod
        def dumps(value: Any, **how: Any) -> str:
            written.append(value)
            return json.dumps(value, **how)

    monkeypatch.setattr(replications, "json", Counting)
    labels = [group.label for group in groups(runs)]
    assert [group.label for group in groups(runs)] == labels
    assert len(set(labels)) == RUNS
    assert len(written) == RUNS
