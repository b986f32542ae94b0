"""`afl-sim run` of a scenario with a sweep, and of runs that diverge."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from commands import QUICK, Command, leftovers, summary
from places import SMALLEST
from run_checks import everything_in

from afl_sim import load_study

SWEEP = """
sweep:
  training.optimizer.lr: [0.02, 1.0e+38, 0.05]
"""


def write_study(folder: Path, sweep: str = SWEEP) -> Path:
    path = folder / "rates.yaml"
    path.write_text(SMALLEST.read_text().replace("name: smallest", "name: rates") + sweep)
    return path


def test_the_other_runs_of_a_study_finish_when_one_diverges(
    afl_sim: Command, tmp_path: Path
) -> None:
    write_study(tmp_path)
    steep = ("run", SMALLEST, *QUICK, "--set", "training.optimizer.lr=1e38", "--out", "steep")
    result, alone = afl_sim.batch([("run", "rates.yaml", *QUICK, "--out", "study"), steep])
    study = tmp_path / "study"
    assert result.code == 1
    runs = load_study(study)
    assert [run.status for run in runs] == ["complete", "diverged", "complete"]
    assert [run.path.parent for run in runs] == [study] * 3
    assert {path.name for path in study.iterdir()} == {
        "study.json",
        "study.yaml",
        "comparison.csv",
        "comparison.md",
        "comparison.tex",
        *(run.label for run in runs),
    }
    assert (study / "study.yaml").read_text() == (tmp_path / "rates.yaml").read_text()
    with (study / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == [run.label for run in runs]
    assert [row["status"] for row in rows] == ["complete", "diverged", "complete"]
    for run, row in zip(runs, rows, strict=True):
        assert int(row["versions"]) == run.summary["versions"]
        assert run.label in result.out
    told = result.err.splitlines()
    assert [line.split(": ")[0] for line in told] == [run.label for run in runs]
    assert "diverged" in told[1]
    assert leftovers(tmp_path) == []

    diverged = runs[1]
    assert diverged.summary["reason"] in told[1]
    # Every loss was a number at the first version; the huge step shows in the next.
    assert diverged.summary["diverged"]["client"] in range(10)
    assert diverged.summary["diverged"]["version"] >= 1
    assert str(diverged.summary["diverged"]["client"]) in diverged.summary["reason"]
    assert not (diverged.path / "model.safetensors").exists()
    assert len(diverged.metrics) >= 1
    assert 0 <= diverged.summary["final"]["accuracy"] <= 1

    found = summary(tmp_path / "steep")
    assert alone.code == 1
    assert found["status"] == "diverged"
    assert found["reason"].startswith("diverged at version ")
    assert found["reason"] in alone.err
    assert len(alone.err.splitlines()) == 1
    assert "diverged" in alone.out


def test_a_study_goes_on_where_it_stopped_and_is_never_mixed_with_another(
    afl_sim: Command, tmp_path: Path
) -> None:
    write_study(tmp_path, "replications: 2\n")
    (tmp_path / "other.yaml").write_text(SMALLEST.read_text() + "replications: 3\n")
    timed = ("--timing-only", "--set", "stop.updates=5")
    line = ("run", "rates.yaml", *timed)
    first, second = afl_sim.batch([line, line])
    (study,) = (tmp_path / "runs").iterdir()
    assert study.name.startswith("rates-")
    assert first.succeeded().err.count(": complete in ") == 2
    assert second.succeeded().err.count("finished before, reused") == 2
    labels = json.loads((study / "study.json").read_text())["runs"]
    assert len(labels) == 2
    (study / labels[1] / "summary.json").unlink()
    before = everything_in(study / labels[0])
    foreign = ("run", "other.yaml", *timed, "--force", "--out", study)
    alone = ("run", SMALLEST, *timed, "--force", "--out", study)
    third, mixed, into = afl_sim.batch([line, foreign, alone])
    assert third.succeeded().err.count("finished before, reused") == 1
    assert summary(study / labels[1])["status"] == "complete"
    assert everything_in(study / labels[0]) == before
    assert mixed.code == 2
    assert "another study" in mixed.errors[0]
    assert into.code == 2
    assert [run.label for run in load_study(study)] == labels


def test_a_study_of_which_nothing_can_begin_leaves_nothing(
    afl_sim: Command, tmp_path: Path
) -> None:
    write_study(tmp_path)
    (tmp_path / "file").write_text("precious")
    before = everything_in(tmp_path)
    (result,) = afl_sim.batch([("run", "rates.yaml", *QUICK, "--out", "file/study")])
    assert result.code == 2
    assert len(result.errors) == 1
    assert everything_in(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "rates.yaml"]
