"""Runs of a study side by side: the same results as one after the other, come what may."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import SMALLEST
from run_checks import alone, results

from afl_sim import load_run
from afl_sim.errors import AflSimError, StrategyError
from afl_sim.run.api import load_scenario, read_study, simulate
from afl_sim.run.workers import worker_pool
from afl_sim.scenario import Case, Execution, Numerics, Study
from afl_sim.study import whole_runs
from afl_sim.study.case import Outcome
from afl_sim.study.study import Options, run_cases
from afl_sim.study.whole_runs import run_whole_away

SETTINGS = [
    "stop.updates=24",
    "evaluation.samples=100",
    "evaluation.every_versions=4",
    "execution={executor: processes, workers: 2}",
]
FEDBUFF = "{kind: fedbuff, concurrency: 5, buffer_size: 3}"
QUAFL = "{kind: quafl, clients_per_round: 3, local_steps: 4, interaction_seconds: 0.5}"
FEDASYNC = "{kind: fedasync, concurrency: 4}"


def study_of(folder: Path, *strategies: str) -> Study:
    folder.mkdir(exist_ok=True)
    path = folder / "study.yaml"
    rows = "".join(f"    - {strategy}\n" for strategy in strategies)
    path.write_text(SMALLEST.read_text() + f"sweep:\n  strategy:\n{rows}")
    return read_study(path, SETTINGS)


def quiet(case: Case) -> Callable[[Any], None] | None:
    return None


def test_runs_that_share_workers_come_to_the_digests_of_each_alone(tmp_path: Path) -> None:
    study = study_of(tmp_path, FEDBUFF, QUAFL, FEDASYNC, "{kind: 'odd_strategies:OneThread'}")
    told: list[Outcome] = []
    _, outcomes = run_cases(study, Options(out=tmp_path / "out"), quiet, told.append)
    assert [outcome.label for outcome in outcomes] == [case.label for case in study.cases]
    assert [results(outcome) for outcome in outcomes] == [alone(case) for case in study.cases]
    assert sorted(each.label for each in told) == sorted(case.label for case in study.cases)


def test_runs_that_train_tasks_together_are_each_done_whole_by_a_worker(tmp_path: Path) -> None:
    study_of(tmp_path, FEDBUFF, QUAFL)
    modes = "  numerics: [{mode: exact}, {mode: batched, group: 3}]\n"
    with (tmp_path / "study.yaml").open("a") as file:
        file.write(modes)
    study = read_study(tmp_path / "study.yaml", SETTINGS)
    asked = threading.Semaphore(6)
    stopping = Options(
        out=tmp_path / "out", resume=True, stop_wanted=lambda: not asked.acquire(blocking=False)
    )
    with pytest.raises(KeyboardInterrupt):
        run_cases(study, stopping, quiet)
    _, outcomes = run_cases(study, Options(out=tmp_path / "out", resume=True), quiet)
    assert [results(outcome) for outcome in outcomes] == [alone(case) for case in study.cases]
    classes = [
        load_run(tmp_path / "out" / case.label).summary["numerics"]["class"] for case in study.cases
    ]
    assert classes == ["exact/float32/cpu/portable", "batched/float32/cpu"] * 2
    saved = [
        load_scenario(tmp_path / "out" / case.label / "scenario.yaml").execution.executor
        for case in study.cases
    ]
    assert saved == ["processes", "inline"] * 2  # how each can be resumed


def test_the_others_come_to_their_end_when_one_raises_and_one_diverges(tmp_path: Path) -> None:
    steep = "{kind: fedbuff, concurrency: 5, buffer_size: 3, server_lr: 1.0e+38}"
    study = study_of(tmp_path, "{kind: 'odd_strategies:Raises'}", steep, FEDBUFF)
    _, (raised, diverged, whole) = run_cases(study, Options(out=tmp_path / "out"), quiet)
    assert "LookupError: no such tier" in str(raised.error)
    assert "odd_strategies.py" in str(raised.error)
    assert raised.status == "failed"
    assert diverged.status == "diverged"
    assert results(whole) == alone(study.cases[2])


def test_an_interrupted_study_has_checkpoints_and_goes_on_where_it_was(tmp_path: Path) -> None:
    study = study_of(tmp_path, FEDBUFF, FEDASYNC, QUAFL)
    asked: Counter[int] = Counter()  # by the thread of a run
    both_under_way = threading.Barrier(2)

    def stop_wanted() -> bool:
        asked[threading.get_ident()] += 1
        if asked[threading.get_ident()] == 6:
            both_under_way.wait(timeout=120)  # neither may end before the other is told to stop
        return asked[threading.get_ident()] >= 6

    wanted = Options(out=tmp_path / "out", resume=True, stop_wanted=stop_wanted)
    with pytest.raises(KeyboardInterrupt):
        run_cases(study, wanted, quiet)
    stopped = list((tmp_path / "out").glob("*/checkpoint"))
    assert len(stopped) == 2  # one for each worker; the third run had not begun
    assert not list((tmp_path / "out").rglob("*.tmp"))
    _, outcomes = run_cases(study, Options(out=tmp_path / "out", resume=True), quiet)
    assert [results(outcome) for outcome in outcomes] == [alone(case) for case in study.cases]
    _, again = run_cases(study, Options(out=tmp_path / "out", resume=True), quiet)
    assert all(outcome.reused for outcome in again)


def test_without_training_whole_runs_are_done_by_workers(tmp_path: Path) -> None:
    odd = ["{kind: 'odd_strategies:Raises'}", "{kind: 'odd_strategies:KillsItsWorkerOnce', "]
    study = study_of(tmp_path, FEDBUFF, odd[0], f"{odd[1]}file: {tmp_path / 'killed'}}}", QUAFL)
    options = Options(out=tmp_path / "out", timing_only=True)
    _, outcomes = run_cases(study, options, quiet)
    assert (tmp_path / "killed").exists()  # and that run was begun again
    for n in (0, 2, 3):
        assert results(outcomes[n]) == alone(study.cases[n], timing_only=True)
    assert "no such tier" in str(outcomes[1].error)
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_runs_without_training_can_be_stopped(tmp_path: Path) -> None:
    study = study_of(tmp_path, FEDBUFF, QUAFL)
    endless = read_study(tmp_path / "study.yaml", [*SETTINGS, "stop.updates=100000000"])
    reports: list[Any] = []
    options = Options(out=tmp_path / "out", timing_only=True, stop_wanted=lambda: len(reports) >= 4)
    with pytest.raises(KeyboardInterrupt):
        run_cases(endless, options, lambda case: reports.append)
    assert reports[-1].updates > 0
    assert len(study.cases) == len(list((tmp_path / "out").glob("*/summary.json")))


def test_a_whole_run_that_cannot_be_brought_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, place = study_of(tmp_path, FEDBUFF).cases[0], tmp_path / "run"
    simulate(case.scenario, place, timing_only=True)
    before = whole_runs.read_folder(tmp_path)
    outcome = Outcome.of(case.label, load_run(place))
    returned = whole_runs.Returned(outcome, files=whole_runs.read_folder(place))
    monkeypatch.setattr(whole_runs, "_call", lambda *arguments, **supply: returned)

    def full(files: Any, place: Path) -> None:
        assert not place.exists()
        raise AflSimError("the disk is full")

    pool: Any = None
    with monkeypatch.context() as patch:
        patch.setattr(whole_runs, "write_folder", full)
        with pytest.raises(AflSimError, match="the disk is full"):
            run_whole_away(pool, case, place, Options(force=True), None)
        assert whole_runs.read_folder(tmp_path) == before
    assert run_whole_away(pool, case, place, Options(force=True), None).succeeded
    assert not list(tmp_path.glob(".*"))


def test_a_whole_run_is_brought_from_a_workers_own_folder(tmp_path: Path) -> None:
    case = study_of(tmp_path, FEDBUFF).cases[0]
    place = tmp_path / "run"
    reports: list[Any] = []
    with worker_pool(Execution(executor="processes", workers=1), [Numerics()]) as pool:
        # As soon as the worker has begun; before that there would be no run.
        stopping = Options(stop_wanted=lambda: any(each.jobs for each in pool._stations))
        with pytest.raises(KeyboardInterrupt):
            run_whole_away(pool, case, place, stopping, reports.append)
        begun = load_run(place)
        assert begun.status == "interrupted"
        assert list((place / "checkpoint").iterdir())
        outcome = run_whole_away(pool, case, place, Options(resume=True), reports.append)
        assert results(outcome) == alone(case)
        assert load_run(place).manifest["resumed"]
        again = run_whole_away(pool, case, place, Options(force=True), None)
        assert results(again) == alone(case)
        assert "resumed" not in load_run(place).manifest
        case = study_of(tmp_path, "{kind: 'odd_strategies:Raises'}").cases[0]
        with pytest.raises(StrategyError, match="no such tier"):
            run_whole_away(pool, case, tmp_path / "failed", Options(), None)
        assert load_run(tmp_path / "failed").status == "failed"
    assert not list(tmp_path.glob(".*"))
