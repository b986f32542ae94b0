"""Several scenario files as one study: names, seeds, the folder, and going on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from afl_sim import run_study
from afl_sim.errors import ScenarioError
from afl_sim.recording.study_index import read_study_index
from afl_sim.run.validation import Source, check_studies
from afl_sim.scenario import Study, scenario_id
from afl_sim.scenario.joining import File, together
from afl_sim.study.begun import read_again
from afl_sim.study.case import Options, Origin
from afl_sim.study.study import run_cases

BASE = """\
data: {partition: {kind: iid, samples: 100}}
model: logistic
clients: {count: 20, compute: {seconds_per_sample: 0.01}}
stop: {updates: 4}
"""
BUFFERED = "strategy: {kind: fedbuff, concurrency: 4, buffer_size: 2}\n"
ROUNDS = "strategy: {kind: fedavg, clients_per_round: 2}\n"


def joined_of(folder: Path, seed: int | None = None, /, **files: str) -> Study:
    sources = []
    for name, text in files.items():
        path = folder / f"{name}.yaml"
        path.write_text(BASE + text)
        sources.append(Source(path))
    return check_studies(sources, (), seed, timing_only=True)


def titles(study: Study) -> list[str]:
    return [case.title for case in study.cases]


def refused(folder: Path, **files: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        joined_of(folder, **files)
    return str(caught.value)


def test_files_go_by_what_they_differ_in_if_that_is_short(tmp_path: Path) -> None:
    study = joined_of(tmp_path, buffered=BUFFERED, in_rounds=ROUNDS)
    assert titles(study) == ["fedbuff", "fedavg"]
    assert [case.label for case in study.cases] == ["buffered", "in_rounds"]
    assert study.name == "buffered-in_rounds"
    other = BUFFERED.replace("buffer_size: 2", "buffer_size: 4")
    assert titles(joined_of(tmp_path, buffer_of_2=BUFFERED, buffer_of_4=other)) == [
        "K=2",
        "K=4",
    ]
    slow = BUFFERED + "training: {batch_size: 5}\n"
    assert titles(joined_of(tmp_path, batches_of_32=BUFFERED, batches_of_5=slow)) == [
        "batch_size=32",
        "batch_size=5",
    ]


def test_files_go_by_their_names_otherwise(tmp_path: Path) -> None:
    assert titles(joined_of(tmp_path, a=BUFFERED, b=ROUNDS)) == ["a", "b"]
    two = ROUNDS + "training: {batch_size: 5}\nserver: {aggregation_seconds: 1}\n"
    assert titles(joined_of(tmp_path, buffered_files=BUFFERED, round_files=two)) == [
        "buffered_files",
        "round_files",
    ]
    assert titles(joined_of(tmp_path, x=BUFFERED, y=f"name: mine\n{ROUNDS}")) == ["x", "mine"]


def test_a_file_may_itself_be_a_study(tmp_path: Path) -> None:
    swept = f"{BUFFERED}sweep: {{strategy.buffer_size: [1, 2]}}\nreplications: 2\n"
    study = joined_of(tmp_path, a=swept, b=f"{ROUNDS}replications: 2\n")
    assert titles(study)[::2] == ["a, K=1", "a, K=2", "b"]
    assert [case.label for case in study.cases][3:] == ["a-buffer_size-2-r1", "b-r0", "b-r1"]
    assert study.cases[0].scenario.seed == study.cases[4].scenario.seed


def test_each_run_is_the_one_of_its_file_alone(tmp_path: Path) -> None:
    study = joined_of(tmp_path, a=BUFFERED, b=ROUNDS)
    for part, case in zip(study.parts, study.cases, strict=True):
        alone = check_studies([Source(tmp_path / f"{part.name}.yaml")], timing_only=True)
        assert scenario_id(case.scenario) == scenario_id(alone.cases[0].scenario)


def test_files_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    text = refused(tmp_path, a=BUFFERED, b=f"{ROUNDS}seed: 3\n")
    assert "b.yaml: seed: its runs have the seed 3, and those of" in text
    assert "a.yaml have the seed 0; expected the same seeds" in text
    text = refused(tmp_path, a=BUFFERED, b=f"{ROUNDS}replications: 3\n")
    assert "its runs have 3 seeds from 0 on" in text
    text = refused(tmp_path, a=BUFFERED, b=f"name: a\n{ROUNDS}")
    assert "b.yaml: name: " in text
    assert "a.yaml is named 'a', too; expected files of different names" in text
    assert len(joined_of(tmp_path, 5, a=BUFFERED, b=f"{ROUNDS}seed: 3\n").cases) == 2


def test_the_mistakes_of_all_files_are_told(tmp_path: Path) -> None:
    text = refused(tmp_path, a="strategy: fedbuf\n", b="strategy: fedavk\n")
    assert [line.rpartition("/")[2][:6] for line in text.splitlines()] == ["a.yaml", "b.yaml"]


def test_validation_tells_what_files_are_together(tmp_path: Path) -> None:
    study = joined_of(tmp_path, a=BUFFERED, b=ROUNDS)
    files = [
        File(f"{part.name}.yaml", check_studies([Source(tmp_path / f"{part.name}.yaml")]), tmp_path)
        for part in study.parts
    ]
    assert together(files[:2]) == "together: a study of 2 runs: a; b"
    assert together([files[0], files[0]]).startswith("together: no study: a.yaml: name: ")


def test_the_folder_keeps_every_file_and_goes_on(tmp_path: Path) -> None:
    study = joined_of(tmp_path, a=BUFFERED, b=ROUNDS)
    origin = Origin((), None, tmp_path)
    out = tmp_path / "out"
    options = Options(out=out, timing_only=True, origin=origin)
    _, outcomes = run_cases(study, options, lambda case: None)
    assert all(outcome.succeeded for outcome in outcomes)
    index = read_study_index(out)
    assert index["files"] == {"a": str(tmp_path), "b": str(tmp_path)}
    assert index["titles"] == {"a": "a", "b": "b"}
    assert (out / "study-b.yaml").read_text() == BASE + ROUNDS
    assert not (out / "study.yaml").exists()
    again, timing_only, how = read_again(out)
    assert (again.cases, again.name, timing_only, how) == (study.cases, study.name, True, origin)
    _, outcomes = run_cases(again, Options(out, True, resume=True), lambda case: None)
    assert all(outcome.reused for outcome in outcomes)
    steered = joined_of(tmp_path, a=f"{BUFFERED}figure: accuracy\n", b=ROUNDS)
    run_cases(steered, Options(out, True, resume=True), lambda case: None)
    assert (out / "study-a.yaml").read_text().endswith("figure: accuracy\n")
    assert json.loads((out / "study.json").read_text())["runs"] == ["a", "b"]


def test_python_runs_several_files_as_one_study(tmp_path: Path) -> None:
    joined_of(tmp_path, a=BUFFERED, b=ROUNDS)
    study = run_study([tmp_path / "a.yaml", str(tmp_path / "b.yaml")], timing_only=True)
    assert [run.title for run in study.runs] == ["a", "b"]
    assert study.frame["updates"].tolist() == [4, 4]
