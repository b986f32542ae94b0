"""A whole design: who wins, that workers and interruptions change nothing, and what it leaves."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from designs import SMALL
from sessions import wait_for

from afl_sim import (
    load_design,
    load_run,
    load_scenario,
    load_study,
    run_design,
    run_study,
    simulate,
)
from afl_sim.design.reading import read_problem
from afl_sim.design.schedule import Schedules
from afl_sim.design.solving import Options, solve
from afl_sim.design.training import advance
from afl_sim.errors import RunFolderError
from afl_sim.run.api import read_study, resume
from afl_sim.scenario import scenario_id

ORIGIN = {"settings": [], "seed": None}


def solved(
    folder: Path, *settings: str, stop_wanted: Callable[[], bool] = lambda: False, **options: Any
) -> dict[str, Any]:
    problem = read_problem(SMALL, settings)
    found = solve(problem, Options(folder, stop_wanted=stop_wanted, **options), ORIGIN)
    return dict(found.index)


def told(index: dict[str, Any]) -> str:
    """All that a design has found, without how long it took and who did it."""
    left_out = ("wall_seconds", "origin")
    return json.dumps({key: value for key, value in index.items() if key not in left_out})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("design") / "one"
    solved(place)
    return place


@pytest.mark.parametrize(
    "clients",
    [
        "clients.groups=[{name: a, share: 0.5}, {name: b, share: 0.5}]",
        "clients.groups=[{name: a, share: 0.5, compute: {jitter: 2}}, "
        "{name: b, share: 0.5, battery: null, availability: {kind: diurnal, share: 0.9}}]",
        "clients.availability={kind: on_off, on: 50, off: 1}",
        "clients.network.upload={latency: 10 ms}",
    ],
)
def test_the_file_of_a_winner_is_its_scenario(clients: str) -> None:
    battery = "clients.battery={capacity: 1 kJ, charging: 5}"
    power = "clients.power={download: 1, compute: 2, upload: 3, idle: 0}"
    problem = read_problem(SMALL, [power, battery, clients])
    candidate = problem.candidate(0, next(iter(problem.space.points())))
    assert not isinstance(candidate, str)
    (again,) = [case.scenario for case in read_study(problem.file_of(candidate)).cases]
    named = candidate.scenario.model_copy(update={"name": "tiny-winner"})
    assert scenario_id(again) == scenario_id(named)


def test_a_scenario_of_several_seeds_can_be_designed(folder: Path, tmp_path: Path) -> None:
    """Its replications are those of its own runs; a design has its seeds."""
    found = solved(tmp_path / "design", "replications=2")
    assert told(found).replace(found["identity"], "") == told(load_design(folder).index).replace(
        load_design(folder).index["identity"], ""
    )
    study = run_study(tmp_path / "design" / "winner.yaml", tmp_path / "winner")
    best = found["ranking"][0]["candidate"]
    place = tmp_path / "design" / "runs"
    for index, run in enumerate(study):
        (designed,) = place.glob(f"*c{best:03d}-s{index}")
        assert run.summary["model_digest"] == load_run(designed).summary["model_digest"]


def test_the_winner_is_the_best_of_all_by_whole_runs(folder: Path) -> None:
    """With a budget for everything, no candidate with all seeds is better."""
    problem = read_problem(SMALL)
    found = load_design(folder)
    costs = {}
    for number, point in enumerate(problem.space.points()):
        candidate = problem.candidate(number, point)
        assert not isinstance(candidate, str)
        times = []
        for index in range(2):
            run = simulate(candidate.run(index))
            reached = run.metrics[run.metrics["accuracy"] >= 0.7]
            times.append(float(reached["seconds"].iloc[0]) if len(reached) else 1e9)
        costs[number] = statistics.geometric_mean(times)
    assert found.ranking["mean"].iloc[0] == pytest.approx(min(costs.values()))
    assert found.ranking["candidate"].iloc[0] == min(costs, key=lambda number: costs[number])


def test_two_workers_find_the_same(folder: Path, tmp_path: Path) -> None:
    workers = ("execution.workers=2", "execution.executor=processes")
    assert told(solved(tmp_path / "two", *workers)) == told(dict(load_design(folder).index))
    for name in ("winner.yaml", "candidates.csv", "report.html"):
        assert (tmp_path / "two" / name).read_bytes() == (folder / name).read_bytes()


def test_an_interrupted_design_goes_on_to_the_same_result(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "three"
    for most in (20, 45):
        asked = iter(range(most))
        with pytest.raises(KeyboardInterrupt):
            solved(place, stop_wanted=lambda asked=asked: next(asked, None) is None, resume=True)
        assert load_design(place).index["status"] == "unfinished"
    with pytest.raises(RunFolderError, match="--resume goes on with it"):
        solved(place)
    assert told(solved(place, resume=True)) == told(dict(load_design(folder).index))


def test_other_code_or_a_damaged_run_ends_a_design_and_rules_nobody_out(tmp_path: Path) -> None:
    """Otherwise a candidate that could not go on would silently be missing from the ranking."""
    place = tmp_path / "six"
    asked = iter(range(45))
    with pytest.raises(KeyboardInterrupt):
        solved(place, stop_wanted=lambda: next(asked, None) is None)
    begun = next(run for run in (place / "runs").iterdir() if (run / "checkpoint").exists())
    manifest = json.loads((begun / "manifest.json").read_text())
    (begun / "manifest.json").write_text(json.dumps({**manifest, "code": "0" * 16}))
    with pytest.raises(RunFolderError, match=r"runs.*was started with other code"):
        solved(place, resume=True)
    index = json.loads((place / "design.json").read_text())
    assert index["status"] == "unfinished"
    (place / "design.json").write_text(json.dumps({**index, "code": "0" * 16}))
    with pytest.raises(RunFolderError, match=r"six was started with other code \(0000"):
        solved(place, resume=True)


def test_when_the_wall_time_is_over_the_rest_of_the_first_rung_is_left_out() -> None:
    found = run_design(SMALL, settings=["design.budget={wall_seconds: 0.001}"])
    assert list(found.candidates["fate"]).count("left out") == 2  # after the first group, of eight
    assert found.candidates["fate"].isin(["stopped", "finalist", "left out"]).all()


def test_a_run_that_was_stopped_ends_with_the_digests_of_one_that_was_not(tmp_path: Path) -> None:
    problem = read_problem(SMALL, ["design.minimize={time_to_accuracy: 0.99}"])
    candidate = problem.candidate(6, list(problem.space.points())[6])
    assert not isinstance(candidate, str)
    schedule = Schedules().of(candidate.scenario)
    assert not isinstance(schedule, str)
    place = tmp_path / "run"
    for version in (3, 7):
        advance(candidate.scenario, place, version)
        run = load_run(place)
        assert (run.status, run.summary["versions"]) == ("interrupted", version)
        assert run.summary["samples_trained"] == schedule.samples_until(version)
    advance(candidate.scenario, place, None)
    one, other = load_run(place).summary, simulate(candidate.scenario).summary
    for name in ("model_digest", "schedule_digest", "final", "versions"):
        assert one[name] == other[name]
    assert schedule.digest == one["schedule_digest"]


def test_the_winners_file_runs_as_its_candidate_did(folder: Path) -> None:
    found = load_design(folder)
    best = found.ranking["candidate"].iloc[0]
    run = simulate(load_scenario(folder / "winner.yaml"))
    there = load_run(folder / "runs" / f"c{best:03d}-s0")
    for name in ("model_digest", "schedule_digest", "time_to_accuracy"):
        assert run.summary[name] == there.summary[name]
    assert found.scenario().replace(name="x") == load_scenario(run.path / "scenario.yaml").replace(
        name="x"
    )


def test_the_folder_has_tables_a_page_and_a_study(folder: Path) -> None:
    index = load_design(folder).index
    with (folder / "candidates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(index["candidates"]) == index["space"] == 10
    assert {row["fate"] for row in rows} <= {"stopped", "finalist"}
    study = load_study(folder / "runs")
    trained = [each for each in index["candidates"] if each["progress"]]
    titles = [each["title"] for each in index["ranking"]]
    settings = list(dict.fromkeys(study.frame["setting"]))
    assert settings[: len(titles)] == titles
    assert set(settings) == {each["title"] for each in trained}
    assert study.frame["setting"].tolist().count(titles[0]) == 2
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert titles[0] in page
    assert "<svg" in page
    assert sorted(path.name for path in folder.glob(".*")) == []


def test_stopped_candidates_keep_no_checkpoints_and_can_be_run_to_their_ends(
    folder: Path, tmp_path: Path
) -> None:
    index = load_design(folder).index
    places = {
        each["number"]: folder / "runs" / f"c{each['number']:03d}-s0"
        for each in index["candidates"]
    }
    stopped = [each["number"] for each in index["candidates"] if each["fate"] == "stopped"]
    unfinished = [number for number in stopped if load_run(places[number]).status == "interrupted"]
    assert unfinished
    assert not any((places[number] / "checkpoint").exists() for number in stopped)
    again = tmp_path / "again"
    shutil.copytree(places[unfinished[0]], again)
    problem = read_problem(SMALL)
    candidate = problem.candidate(unfinished[0], list(problem.space.points())[unfinished[0]])
    assert not isinstance(candidate, str)
    whole = simulate(candidate.scenario)
    assert resume(again).summary["model_digest"] == whole.summary["model_digest"]


def test_a_signal_stops_the_command_and_resume_ends_with_the_same(
    folder: Path, tmp_path: Path
) -> None:
    """As with Ctrl-C; the workers leave checkpoints behind, and no process."""
    (tmp_path / "small.yaml").write_text(SMALL)
    command = [sys.executable, "-m", "afl_sim"]
    begin = [*command, "design", "small.yaml", "--out", "four", "--workers", "2"]
    process = subprocess.Popen(begin, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    runs = tmp_path / "four" / "runs"
    wait_for(lambda: len(list(runs.glob("*/summary.json"))) >= 2, 240)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "to continue: afl-sim resume four" in said
    assert load_design(tmp_path / "four").index["status"] == "unfinished"
    subprocess.run([*command, "resume", "four"], cwd=tmp_path, check=True)
    assert told(dict(load_design(tmp_path / "four").index)) == told(dict(load_design(folder).index))


@pytest.mark.slow
def test_a_ray_cluster_finds_the_same_also_when_it_is_interrupted(
    folder: Path, tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        workers = ("execution.workers=2", "execution.executor=ray")
        place = tmp_path / "five"
        asked = iter(range(40))
        with pytest.raises(KeyboardInterrupt):
            solved(place, *workers, stop_wanted=lambda: next(asked, None) is None)
        assert load_design(place).index["status"] == "unfinished"
        assert told(solved(place, *workers, resume=True)) == told(dict(load_design(folder).index))
    finally:
        ray.shutdown()


def test_optuna_opens_the_study(folder: Path) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
    study = optuna.load_study(study_name="design", storage=storage)
    index = load_design(folder).index
    assert len(study.trials) == len(index["candidates"])
    assert study.best_trial.user_attrs["fate"] == "finalist"
    for trial, candidate in zip(study.trials, index["candidates"], strict=True):
        assert trial.user_attrs["title"] == candidate["title"]
        assert list(trial.intermediate_values.values()) == candidate["progress"]


def test_a_finished_design_is_reused(folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    before = (folder / "design.json").stat().st_mtime_ns
    solved(folder, say=lines.append)
    assert lines == [f"{folder} is finished (--force begins again)"]
    assert (folder / "design.json").stat().st_mtime_ns == before
    other = tmp_path / "other"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("runs"))
    index = json.loads((other / "design.json").read_text())
    (other / "design.json").write_text(json.dumps({**index, "code": "0" * 16}))
    solved(other, say=lines.append)
    assert lines[1:] == [f"{other} is finished; it was made with other code (--force begins again)"]
    with pytest.raises(RunFolderError, match="holds another design"):
        solved(folder, "seed=5")


def test_without_training_there_are_schedules_and_no_winner() -> None:
    found = run_design(SMALL, timing_only=True)
    assert found.winner is None
    assert (found.candidates["fate"] == "open").all()
    assert (found.candidates["versions"] > 0).all()
    assert not (found.path / "runs").exists()


def test_a_sampled_space_is_the_same_again_and_keeps_its_number() -> None:
    wide = SMALL.replace("[0.001, 0.03]", "{numbers: [0.001, 0.5], log: true}")
    settings = ["design.candidates=6", "design.budget={samples: 20000}", "stop.virtual_seconds=4"]
    one, two = (run_design(wide, settings=settings).index for _ in range(2))
    assert told(dict(one)) == told(dict(two))
    assert len(one["candidates"]) == 6
    assert one["space"] is None
    assert one["spent"]["samples"] <= 20_000
    rates = {each["settings"]["training.optimizer.lr"] for each in one["candidates"]}
    assert len(rates) > 3


def test_limits_of_costs_cut_runs_short() -> None:
    whole = Schedules().of(read_problem(SMALL).scenario)
    assert not isinstance(whole, str)
    limit = whole.spending["bytes"].at(1_000_000)
    found = run_design(SMALL, settings=[f"design.constraints=['bytes <= {limit:.0f}']"])
    for trial in found.index["pareto"]["front"]:
        assert trial["costs"][1] <= limit
    assert found.index["spent"]["all_candidates"] < 0.5 * _all_samples()


def _all_samples() -> int:
    candidates = run_design(SMALL, timing_only=True).candidates
    return 2 * int(candidates["samples"].sum())
