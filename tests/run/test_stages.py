"""The three stages of a run: what each gets, what it gives, and what becomes of an error."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from places import SMALLEST

from afl_sim.errors import ScenarioError
from afl_sim.execution.numerics import deterministic
from afl_sim.portable.block import arithmetic_of
from afl_sim.recording import load_run
from afl_sim.run import api
from afl_sim.run.api import load_scenario, simulate
from afl_sim.run.bits import effective_bits
from afl_sim.run.executors import inline
from afl_sim.run.finished import Finished, WallTime
from afl_sim.run.identity import Identity, identity_of
from afl_sim.run.kinds import optimizer_of, strategy_of
from afl_sim.run.observer import Observer
from afl_sim.run.preparation import Prepared, prepare
from afl_sim.run.record import record
from afl_sim.run.recorder import new_folder
from afl_sim.run.run import run
from afl_sim.scenario import Scenario, ValidationContext

SMALL = (
    "model=logistic",
    "strategy={kind: fedbuff, concurrency: 3, buffer_size: 2}",
    "stop.updates=6",
    "evaluation={samples: 100, every_versions: 1}",
    "training={steps: 1}",
)


def scenario(*settings: str) -> Scenario:
    return load_scenario(SMALLEST, [*SMALL, *settings])


def by_hand(place: Path, observer: Observer, timing_only: bool) -> Finished:
    portable = not timing_only and effective_bits(scenario()).portable
    with deterministic(), arithmetic_of(portable):
        prepared = prepare(scenario(), timing_only)
        identity = identity_of(prepared.scenario)
        with new_folder(place, prepared, identity, timing_only, None) as recorder:
            executors = None if timing_only else inline
            finished = run(prepared, recorder, executors, observer, began=perf_counter())
            assert not (place / "summary.json").exists()
            record(finished, recorder, prepared)
    return finished


@pytest.mark.parametrize("timing_only", [True, False])
def test_the_stages_one_after_another_make_the_run_of_simulate(
    tmp_path: Path, timing_only: bool
) -> None:
    finished = by_hand(tmp_path / "stages", Observer(), timing_only)
    whole = simulate(scenario(), tmp_path / "whole", timing_only=timing_only)
    made = load_run(tmp_path / "stages")
    assert {**made.summary, "wall_seconds": 0} == {**whole.summary, "wall_seconds": 0}
    assert (finished.status, finished.versions, finished.error) == ("complete", 3, None)
    assert (finished.trained is None) == timing_only


@pytest.mark.parametrize("data", [Prepared, Finished, Identity, Observer, WallTime])
def test_what_goes_from_stage_to_stage_is_frozen(data: type[Any]) -> None:
    assert dataclasses.is_dataclass(data)
    assert data.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_an_error_is_given_to_the_last_stage_and_raised_after_it(tmp_path: Path) -> None:
    finished = by_hand(tmp_path / "run", Observer(stop_wanted=lambda: True), timing_only=True)
    assert (finished.status, finished.versions) == ("interrupted", 1)
    assert load_run(tmp_path / "run").status == "interrupted"
    with pytest.raises(KeyboardInterrupt):
        finished.raise_error()


def test_the_first_version_is_announced_once_and_before_its_checkpoint(tmp_path: Path) -> None:
    seen: list[Any] = []

    def first_version() -> None:
        seen.append((tmp_path / "run" / "checkpoint").exists())

    simulate(
        scenario("execution.checkpoint_versions=1"),
        tmp_path / "run",
        progress=lambda progress: seen.append(progress.version),
        first_version=first_version,
    )
    assert seen[seen.index(1) - 1] is False
    assert [each for each in seen if isinstance(each, bool)] == [False]


def test_a_run_without_a_version_does_not_announce_one() -> None:
    seen: list[str] = []
    short = scenario("stop={virtual_seconds: 1.0e-5}")
    ended = simulate(short, timing_only=True, first_version=lambda: seen.append("version"))
    assert (ended.summary["versions"], seen) == (0, [])


def test_the_error_of_a_run_does_not_keep_its_data_alive(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[weakref.ref[Any]] = []

    def watched(finished: Finished, *arguments: Any) -> None:
        made.append(weakref.ref(finished))
        record(finished, *arguments)

    monkeypatch.setattr(api, "record", watched)
    gc.collect()
    gc.disable()
    try:
        with suppress(KeyboardInterrupt):
            simulate(scenario(), tmp_path / "run", timing_only=True, stop_wanted=lambda: True)
        assert [reference() for reference in made] == [None]
    finally:
        gc.enable()


def test_a_scenario_that_was_read_without_the_known_kinds_is_refused_in_words() -> None:
    described = scenario().model_dump(mode="json", by_alias=True)
    unread = Scenario.model_validate(described, context=ValidationContext())
    with pytest.raises(ScenarioError, match=r"^strategy: fedbuff was read without the known kinds"):
        strategy_of(unread)
    with pytest.raises(ScenarioError, match=r"^training\.optimizer: SGD was read without"):
        optimizer_of(unread)
    with pytest.raises(ScenarioError, match="load_scenario"):
        simulate(unread, timing_only=True)
    assert strategy_of(scenario()).kind == "fedbuff"


def test_a_difference_of_numerics_counts_only_where_something_is_trained() -> None:
    here = Identity({"torch": "2"}, "c" * 16, "s" * 8)
    manifest = {"numerics": {"torch": "1"}, "code": "c" * 16}
    assert here.differences(manifest, timing_only=False) == {"numerics": "torch: 1, here 2"}
    assert here.differences(manifest, timing_only=True) == {}
    other = {"numerics": {"torch": "2"}, "code": "d" * 16, "scenario_id": "t" * 8}
    assert list(here.differences(other, timing_only=False)) == ["code", "scenario"]
