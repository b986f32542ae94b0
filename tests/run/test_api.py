"""The Python interface: scenarios from files, runs in folders or for a while, nothing half done."""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import ROOT, SMALLEST

import afl_sim
from afl_sim import Strategy, load_run, load_scenario, simulate
from afl_sim.errors import AflSimError, RunFolderError, ScenarioError, ScheduleError, StrategyError
from afl_sim.recording.drafts import Draft
from afl_sim.run.api import Progress, read_study, resume, run_name
from afl_sim.run.checks import check_mode

SMALL = ("stop.updates=10", "evaluation.samples=100", "data.partition.samples=20")


class Stubborn(Strategy):
    """Dispatches, and then something goes wrong."""

    how: str = "stops"

    def schedule(self, server: Any) -> Iterator[Any]:
        yield from self._round(server)
        if self.how == "raises":
            raise ValueError("a mistake of the author's")
        # Else it comes to rest before the stop rule.

    def _round(self, server: Any) -> Iterator[Any]:
        server.dispatch_many(server.pick(2))
        update = yield server.arrival()
        yield server.aggregate([update])

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        return params, state


def stubborn(how: str) -> afl_sim.Scenario:
    return load_scenario(
        SMALLEST, [*SMALL, f'strategy={{kind: "{__name__}:Stubborn", how: {how}}}']
    )


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go, so that what is left of them shows."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


def run_folders(folder: Path) -> list[Path]:
    return sorted(folder.glob("afl_sim-*"))


def test_every_public_name_is_there_and_no_other() -> None:
    for name in afl_sim.__all__:
        assert getattr(afl_sim, name).__name__ == name
    with pytest.raises(AttributeError, match="simulat"):
        afl_sim.simulat  # noqa: B018


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("afl_sim", {"torch", "scipy", "simpy", "pandas"}),
        # What every command that runs something imports, and every worker.
        ("afl_sim.study.study", {"scipy", "pandas", "pyarrow", "torchvision", "matplotlib"}),
    ],
)
def test_importing_the_package_loads_no_heavy_library(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print({heavy} & set(sys.modules))"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout == "set()\n"


def test_settings_and_a_seed_replace_those_of_the_file() -> None:
    scenario = load_scenario(SMALLEST, ["stop.updates=7", "model=mlp"], seed=5)
    assert (scenario.stop.updates, scenario.model.kind, scenario.seed) == (7, "mlp", 5)
    with pytest.raises(ScenarioError, match="did you mean 'updates'"):
        load_scenario(SMALLEST, ["stop.update=7"])


def test_a_study_is_no_single_scenario() -> None:
    with pytest.raises(ScenarioError, match="is a study of 3 runs"):
        load_scenario(ROOT / "scenarios" / "quickstart.yaml")
    study = read_study(ROOT / "scenarios" / "quickstart.yaml")
    assert [case.label for case in study.cases] == ["fedavg", "fedasync", "fedbuff"]


def test_a_run_without_a_folder_lives_as_long_as_it_is_looked_at(temporary: Path) -> None:
    scenario = load_scenario(SMALLEST, SMALL)
    run = simulate(scenario)
    path = run.path
    assert path.name == run_name(scenario)
    assert path.is_relative_to(temporary.resolve())
    assert run.summary["updates"]["aggregated"] == 10
    assert list(run.model()) == ["1.weight", "1.bias"]  # as torch has them
    del run
    gc.collect()
    assert not path.exists()
    assert run_folders(temporary) == []


def test_a_run_in_a_folder_stays_and_is_opened_again(tmp_path: Path, temporary: Path) -> None:
    run = simulate(load_scenario(SMALLEST, SMALL), tmp_path / "kept")
    opened = load_run(tmp_path / "kept")
    assert opened.summary == run.summary
    assert opened.events.equals(run.events)
    assert opened.metrics.equals(run.metrics)
    del run
    gc.collect()
    assert (tmp_path / "kept" / "summary.json").is_file()
    assert run_folders(temporary) == []
    with pytest.raises(RunFolderError, match="not empty"):
        simulate(load_scenario(SMALLEST, SMALL), tmp_path / "kept")
    assert load_run(tmp_path / "kept").summary == opened.summary


def test_a_path_is_as_good_as_a_scenario(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SMALLEST.read_text().replace("updates: 60", "updates: 5"))
    from_path = simulate(tmp_path / "tiny.yaml", timing_only=True)
    loaded = simulate(load_scenario(str(tmp_path / "tiny.yaml")), timing_only=True)
    assert from_path.summary["schedule_digest"] == loaded.summary["schedule_digest"]


def test_progress_is_told_after_each_version() -> None:
    told: list[Progress] = []
    settings = [*SMALL, "evaluation.every_versions=1"]
    run = simulate(load_scenario(SMALLEST, settings), progress=told.append)
    assert {progress.version for progress in told} >= {1, 2}
    assert [p.seconds for p in told] == sorted(p.seconds for p in told)
    assert told[-1].updates == run.summary["updates"]["aggregated"] == 10
    assert told[-1].samples == run.summary["samples_trained"] == 200
    assert told[-1].accuracy is not None


def test_an_interrupted_run_closes_its_folder(tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.version == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(load_scenario(SMALLEST, SMALL), tmp_path / "run", progress=interrupt)
    run = load_run(tmp_path / "run")
    assert run.status == "interrupted"
    assert run.summary["versions"] == 1
    assert len(run.events) > 0
    assert not list(run.path.rglob("*.tmp"))


def test_an_interrupted_temporary_run_leaves_nothing(temporary: Path) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(load_scenario(SMALLEST, SMALL), progress=interrupt)
    assert run_folders(temporary) == []


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("stops", ScheduleError, "came to rest|stop rule|nothing"),
        (
            "raises",
            StrategyError,
            r"Stubborn: schedule raised ValueError: a mistake of the author's \(.*_api.py:\d+\)",
        ),
    ],
)
def test_a_failing_strategy_leaves_a_folder_that_says_so(
    tmp_path: Path, how: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        simulate(stubborn(how), tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.status == "failed"
    assert run.summary["reason"] == str(caught.value)
    assert run.summary["versions"] == 1
    assert "aggregated" in set(run.events.kind)


class Unready(Stubborn):
    """Fails before anything runs."""

    def initial_state(self, params: Any, population: Any) -> Any:
        raise ValueError("not today")


def test_a_strategy_that_fails_before_the_run_leaves_nothing(tmp_path: Path) -> None:
    scenario = load_scenario(SMALLEST, [*SMALL, f'strategy={{kind: "{__name__}:Unready"}}'])
    with pytest.raises(StrategyError, match="initial_state raised ValueError: not today"):
        simulate(scenario, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_wrong_input_that_shows_late_leaves_what_was_done(tmp_path: Path) -> None:
    times = "{seconds_per_task: 1, jitter_seconds: {sequence: [1, 9e12]}}"
    endless = ["stop.updates=1000", f"clients.compute={times}"]
    scenario = load_scenario(SMALLEST, [*SMALL, *endless])
    with pytest.raises(ScenarioError, match="end of the clock"):
        simulate(scenario, tmp_path / "run", timing_only=True)
    run = load_run(tmp_path / "run")
    assert run.status == "failed"
    assert run.summary["versions"] > 0


@pytest.mark.parametrize("leg", ["compute.jitter", "network.download.jitter"])
def test_a_leg_that_ends_after_the_end_of_the_clock_is_told(tmp_path: Path, leg: str) -> None:
    legs = ["clients.network.download.latency=1", "clients.network.upload.latency=1"]
    scenario = load_scenario(SMALLEST, [*SMALL, *legs, f"clients.{leg}=1e300"])
    with pytest.raises(ScenarioError, match="end of the clock"):
        simulate(scenario, tmp_path / "run", timing_only=True)


@pytest.mark.parametrize("file", ["events.parquet", "metrics.parquet", "model.safetensors"])
def test_a_run_whose_results_cannot_be_written_says_that_it_failed(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = Draft.publish, True

    def publish(draft: Draft) -> None:
        if full and draft.path.name == file:
            raise OSError(28, "No space left on device")
        real(draft)

    monkeypatch.setattr(Draft, "publish", publish)
    scenario = load_scenario(SMALLEST, [*SMALL, "execution.checkpoint_versions=1"])
    with pytest.raises(AflSimError, match=f"cannot write .*{file}: the disk is full"):
        simulate(scenario, tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.status == "failed"
    assert run.summary["reason"].endswith(f"{file}: the disk is full")
    assert not list(run.path.rglob("*.tmp"))
    full = False
    done = resume(run.path)
    assert done.status == "complete"
    assert "reason" not in done.summary
    assert done.summary["model_digest"] == simulate(scenario).summary["model_digest"]


def test_wrong_input_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    too_many = load_scenario(SMALLEST, ["evaluation.samples=20000"])
    for out in (tmp_path / "run", None):
        with pytest.raises(ScenarioError, match=r"evaluation\.samples: 20000"):
            simulate(too_many, out)
    assert not (tmp_path / "run").exists()
    assert run_folders(temporary) == []


def test_a_folder_whose_name_is_no_text_is_as_good_as_another(tmp_path: Path) -> None:
    place = tmp_path / os.fsdecode(b"caf\xe9")
    run = simulate(load_scenario(SMALLEST, SMALL), place, command=["run", str(place)])
    assert load_run(place).manifest["command"][1] == str(place)
    assert len(run.events) > 0
    assert len(run.metrics) > 0
    assert (place / "trace.json").exists()


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_cannot_be_locked_is_not_left_behind(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def refuse(lock: int, how: int) -> None:
        held = os.fstat(lock)
        ours = (path.lstat() for path in tmp_path.rglob(".lock"))
        if any(os.path.samestat(held, path) for path in ours):  # the data's cache is not meant
            raise OSError(errno.ENOLCK, "No locks available")
        real(lock, how)

    if there:
        (tmp_path / "run").mkdir()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunFolderError, match=r"cannot lock .*: No locks available"):
        simulate(load_scenario(SMALLEST, SMALL), tmp_path / "run", timing_only=True)
    assert [path.name for path in tmp_path.rglob("*")] == (["run"] if there else [])


def test_a_run_without_training_needs_a_stop_rule_that_it_can_reach(tmp_path: Path) -> None:
    scenario = load_scenario(SMALLEST, ["stop={accuracy: 0.9}", "evaluation.every_versions=1"])
    check_mode(scenario, timing_only=False)
    with pytest.raises(ScenarioError, match="accuracy is the only rule"):
        simulate(scenario, tmp_path / "run", timing_only=True)
    assert not (tmp_path / "run").exists()


def test_accuracy_ends_a_run_with_training() -> None:
    settings = ["stop={accuracy: 0.4, updates: 200}", "evaluation.every_versions=1"]
    run = simulate(load_scenario(SMALLEST, settings))
    assert run.summary["stopped_by"] == "accuracy"
    assert run.metrics.accuracy.iloc[-1] >= 0.4
    assert (run.metrics.accuracy.iloc[:-1] < 0.4).all()


@pytest.mark.parametrize("target", [0.05, 0.9999])
def test_a_run_without_training_ignores_an_accuracy_beside_another_rule(target: float) -> None:
    rules = [*SMALL, f"stop.accuracy={target}", "evaluation.every_versions=1"]
    timing = simulate(load_scenario(SMALLEST, rules), timing_only=True)
    assert timing.summary["stopped_by"] == "updates"
    assert timing.scenario["stop"]["accuracy"] == target  # as it was asked for
    plain = simulate(load_scenario(SMALLEST, SMALL), timing_only=True)
    assert timing.summary["schedule_digest"] == plain.summary["schedule_digest"]
    trained = simulate(load_scenario(SMALLEST, rules))
    if target > 0.9:  # not reached
        assert trained.summary["schedule_digest"] == timing.summary["schedule_digest"]
    else:
        assert trained.summary["stopped_by"] == "accuracy"


def test_what_is_recorded_is_a_setting(tmp_path: Path) -> None:
    settings = [*SMALL, "recording.trace=false", "evaluation.targets=[0.2, 0.99]"]
    run = simulate(load_scenario(SMALLEST, settings), tmp_path / "run")
    assert not (run.path / "trace.json").exists()
    times = run.summary["time_to_accuracy"]
    assert set(times) == {"0.2", "0.99"}
    assert times["0.99"] is None
    first = run.metrics[run.metrics.accuracy >= 0.2].iloc[0]
    assert times["0.2"] == first.time_us / 1e6
    assert json.loads((run.path / "summary.json").read_text()) == run.summary


@pytest.mark.parametrize("timing_only", [False, True])
@pytest.mark.parametrize("settings", [(), ("execution.checkpoint_versions=1",)])
def test_a_folder_that_is_removed_while_its_run_goes_on_ends_it_and_is_not_made_anew(
    tmp_path: Path, timing_only: bool, settings: tuple[str, ...]
) -> None:
    out = tmp_path / "runs" / "run"
    seen = []

    def remove(progress: Progress) -> None:
        seen.append(progress.version)
        if progress.version == 3:
            shutil.rmtree(out)

    with pytest.raises(AflSimError, match="run was removed or moved during the run; noth"):
        simulate(
            load_scenario(SMALLEST, [*SMALL, "stop={versions: 6}", *settings]),
            out,
            timing_only=timing_only,
            progress=remove,
        )
    assert list((tmp_path / "runs").iterdir()) == []
    assert seen[-1] >= 3
    if settings and not timing_only:
        assert seen[-1] == 3  # at the checkpoint of that version


def test_a_run_whose_folder_is_moved_leaves_another_in_its_place_alone(tmp_path: Path) -> None:
    def exchange(progress: Progress) -> None:
        if progress.version == 3:
            (tmp_path / "run").rename(tmp_path / "kept")
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "precious").write_text("")

    built = load_scenario(SMALLEST, [*SMALL, "stop={versions: 6}"])
    with pytest.raises(AflSimError, match="was removed or moved"):
        simulate(built, tmp_path / "run", progress=exchange)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious"]
    assert load_run(tmp_path / "kept").status == "unfinished"
