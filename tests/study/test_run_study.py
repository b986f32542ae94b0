"""Studies from Python: what is run, what comes back, and what becomes of failures."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from afl_sim import Scenario, Strategy, Study, load_study, run_study
from afl_sim.errors import AflSimError, RunFolderError, ScenarioError
from afl_sim.study.begun import read_again

BASE: dict[str, Any] = {
    "name": "servers",
    "data": {"partition": {"kind": "iid", "samples": 20}},
    "model": "logistic",
    "clients": {"count": 10, "compute": {"seconds_per_task": {"dist": "expon", "scale": 1.0}}},
    "strategy": {"kind": "fedbuff", "concurrency": 4, "buffer_size": 2},
    "stop": {"updates": 8},
}
GRID = BASE | {
    "replications": 2,
    "sweep": {
        "strategy": [
            {"kind": "fedavg", "clients_per_round": 4},
            {"kind": "fedbuff", "concurrency": 4, "buffer_size": 2},
            {"kind": "fedbuff", "concurrency": 4, "buffer_size": 4},
        ]
    },
}
LABELS = [f"{name}-r{r}" for name in ("fedavg", "fedbuff_K-2", "fedbuff_K-4") for r in (0, 1)]


class Failing(Strategy):
    """Fails in its second step, if it is told to."""

    fails: bool = True

    def schedule(self, server: Any) -> Iterator[Any]:
        server.send(2)
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])
            if self.fails:
                raise ValueError("a mistake of the author's")
            server.send()

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        return params, state


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


def test_every_combination_and_seed_is_run(tmp_path: Path) -> None:
    study = run_study(GRID, tmp_path / "out", timing_only=True)
    assert [run.label for run in study] == LABELS
    assert [run.status for run in study] == ["complete"] * 6
    assert study["fedavg-r1"].path == tmp_path / "out" / "fedavg-r1"
    assert len(study[1:3]) == 2
    with pytest.raises(KeyError, match="did you mean 'fedavg-r1'"):
        study["fedavg_r1"]
    again = load_study(tmp_path / "out")
    assert [run.path for run in again] == [run.path for run in study]
    assert again.frame.equals(study.frame)


def test_a_scenario_a_dictionary_and_a_file_give_the_same_study(tmp_path: Path) -> None:
    first = run_study(GRID, tmp_path / "first", timing_only=True)
    file = tmp_path / "first" / "study.yaml"  # the study keeps its own source
    for source in (Scenario(**GRID), file, str(file)):
        other = run_study(source, timing_only=True)
        for a, b in zip(first, other, strict=True):
            assert a.summary["schedule_digest"] == b.summary["schedule_digest"]
            assert a.manifest["scenario_id"] == b.manifest["scenario_id"]


def test_a_study_without_a_folder_lives_as_long_as_one_of_its_runs(temporary: Path) -> None:
    study = run_study(BASE | {"replications": 2}, timing_only=True)
    run = study[0]
    assert study.path.is_relative_to(temporary.resolve())
    del study
    gc.collect()
    assert run.events.shape[0] > 0
    del run
    gc.collect()
    assert list(temporary.glob("afl_sim-*")) == []


def test_a_single_run_is_a_study_of_one() -> None:
    study = run_study(BASE, timing_only=True)
    assert len(study) == 1
    assert study.frame["updates"].tolist() == [8]


def test_settings_and_a_seed_go_into_every_run() -> None:
    study = run_study(GRID, settings=["stop.updates=4"], seed=7, timing_only=True)
    assert study.frame["seed"].iloc[0] == 7
    assert set(study.frame["updates"]) <= {4, 5, 6}


def test_workers_give_the_same_bits(tmp_path: Path) -> None:
    two = BASE | {"replications": 2, "evaluation": {"samples": 50}}
    alone, spread = run_study(two), run_study(two, workers=2)
    for a, b in zip(alone, spread, strict=True):
        assert a.summary["model_digest"] == b.summary["model_digest"]


def test_mistakes_are_told_before_anything_is_run(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"sweep\.strategy\.0\.clients_per_round: 40 is more"):
        run_study(
            BASE | {"sweep": {"strategy": [{"kind": "fedavg", "clients_per_round": 40}]}},
            tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()
    with pytest.raises(ScenarioError, match="got a list of 1; expected a scenario"):
        run_study([1])  # type: ignore[arg-type]
    with pytest.raises(ScenarioError, match="expected a scenario"):
        run_study([])


def test_failed_runs_are_named_and_the_others_are_kept(tmp_path: Path) -> None:
    kind = f"{__name__}:Failing"
    sweep = {"strategy": [{"kind": kind, "fails": True}, {"kind": kind, "fails": False}]}
    failing = BASE | {"sweep": sweep}
    with pytest.raises(AflSimError, match=r"1 of 2 runs failed; load_study\(") as caught:
        run_study(failing, tmp_path / "out", timing_only=True)
    assert "a mistake of the author's" in str(caught.value)
    study = run_study(failing, tmp_path / "other", timing_only=True, check=False)
    assert study.frame["status"].tolist() == ["failed", "complete"]
    (why,) = study.errors.values()
    assert "a mistake of the author's" in why


def test_what_is_finished_is_kept_and_a_used_folder_refused(tmp_path: Path) -> None:
    first = run_study(GRID, tmp_path / "out", timing_only=True)
    with pytest.raises(RunFolderError, match="already holds a study"):
        run_study(GRID, tmp_path / "out", timing_only=True)
    made = first[0].manifest["created"]
    again = run_study(GRID, tmp_path / "out", timing_only=True, resume=True)
    assert again[0].manifest["created"] == made
    plan, timing_only, _ = read_again(tmp_path / "out")  # as `afl-sim resume` does
    assert ([case.label for case in plan.cases], timing_only) == (LABELS, True)


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    study = run_study(BASE | {"replications": 2}, tmp_path / "out", timing_only=True)
    with pytest.raises(RunFolderError, match="not a study folder: it contains no runs"):
        load_study(study[0].path)
    with pytest.raises(RunFolderError, match="there is no run folder"):
        load_study(tmp_path / "nowhere")


def test_the_tables_of_all_runs_are_stacked() -> None:
    study = run_study(GRID, timing_only=True)
    for stacked, name in ((study.events, "events"), (study.tasks, "tasks")):
        assert list(stacked)[:4] == ["run", "setting", "strategy", "seed"]
        parts = stacked.groupby("run", sort=False).size()
        assert parts.to_dict() == {run.label: len(getattr(run, name)) for run in study}
    assert set(study.tasks["setting"]) == {"fedavg", "fedbuff K=2", "fedbuff K=4"}


def test_a_notebook_shows_a_study_as_its_table() -> None:
    same = ["clients.compute.seconds_per_task=1"]
    study = run_study(GRID, settings=same, timing_only=True)
    shown = study._repr_html_()
    for words in ("6 runs", "strategy.buffer_size", "mean staleness (versions)", *LABELS):
        assert words in shown
    assert "the same in all runs: " in shown
    many = Study(Path("<folder>"), study.runs * 12, ("a", "b"))._repr_html_()
    assert "12 more are in study.frame" in many
    assert "not begun: a, b" in many
    assert "&lt;folder&gt;" in many
