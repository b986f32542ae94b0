"""A run can be seen and stopped where no version comes, and where not even an event does."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from places import SMALLEST

from afl_sim import load_run
from afl_sim.cli.display import Interruption
from afl_sim.execution import pulse
from afl_sim.execution.pulse import Pulse, end_what_is_stuck, stuck
from afl_sim.run.api import Progress, load_scenario, resume, simulate
from afl_sim.scenario import Scenario


def odd(strategy: str, *, updates: int = 12, **keys: Any) -> Scenario:
    """The smallest scenario under a strategy of ``odd_strategies``."""
    block = {"kind": f"odd_strategies:{strategy}", **keys}
    settings = [f"stop.updates={updates}", "evaluation.samples=100", "recording.trace=false"]
    return load_scenario(SMALLEST, [f"strategy={json.dumps(block)}", *settings])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Wall time in seconds, one number that a test sets."""
    now = [100.0]
    monkeypatch.setattr(pulse, "monotonic", lambda: now[0])
    return now


# -- between events ------------------------------------------------------------------------------


def test_a_run_looks_up_every_few_events_and_tells_a_few_times_a_second(
    clock: list[float],
) -> None:
    told: list[float] = []
    beat = Pulse(lambda: told.append(clock[0]), None)
    with beat:
        for _ in range(1000):
            assert 1 <= beat.between_events() <= 64
            clock[0] += 0.001
    assert 8 <= len(told) <= 10


def test_long_events_are_looked_up_from_one_by_one(clock: list[float]) -> None:
    beat = Pulse(None, None)
    with beat:
        for _ in range(10):
            after = beat.between_events()
        assert after == 64
        clock[0] += 5.0
        assert beat.between_events() == 1


def test_it_asks_whether_to_stop_only_where_no_version_comes_for_a_second(
    clock: list[float],
) -> None:
    asked: list[float] = []

    def wanted() -> bool:
        asked.append(clock[0])
        return False

    beat = Pulse(None, wanted)
    with beat:
        for _ in range(9):
            clock[0] += 0.1
            beat.between_events()
        assert asked == []
        beat.version_made()
        assert asked == [pytest.approx(100.9)]
        clock[0] += 60.0  # one event: an evaluation, after which the next version may come
        beat.between_events()
        assert len(asked) == 1
        for _ in range(9):
            clock[0] += 0.11
            beat.between_events()
        assert len(asked) > 1


@pytest.mark.parametrize("timing_only", [False, True])
def test_a_run_without_versions_is_told_of_and_can_be_stopped(
    timing_only: bool, tmp_path: Path
) -> None:
    told: list[Progress] = []
    scenario = odd("WaitsForAFile", versions=0, file=str(tmp_path / "go"))
    with pytest.raises(KeyboardInterrupt):
        simulate(
            scenario,
            tmp_path / "run",
            timing_only=timing_only,
            progress=told.append,
            stop_wanted=lambda: len(told) >= 3,
        )
    assert {now.version for now in told} == {0}
    assert told[0].seconds < told[-1].seconds
    run = load_run(tmp_path / "run")
    assert (run.status, run.summary["versions"]) == ("interrupted", 0)
    assert len(run.events) > 0
    assert not (tmp_path / "run" / "checkpoint").exists()
    (tmp_path / "go").touch()
    assert resume(tmp_path / "run").status == "complete"  # from zero


def test_the_checkpoint_of_the_last_version_is_kept_where_no_other_comes(tmp_path: Path) -> None:
    scenario = odd("WaitsForAFile", file=str(tmp_path / "go"))
    execution = scenario.execution.model_copy(update={"checkpoint_versions": 1})
    scenario = scenario.model_copy(update={"execution": execution})
    versions: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        simulate(
            scenario,
            tmp_path / "run",
            progress=lambda now: versions.append(now.version),
            stop_wanted=lambda: versions[-1] == 3 and len(versions) > 6,
        )
    assert (tmp_path / "run" / "checkpoint" / "3").is_dir()
    (tmp_path / "go").touch()
    run, whole = resume(tmp_path / "run"), simulate(scenario)
    assert run.summary["model_digest"] == whole.summary["model_digest"]


# -- without any event ---------------------------------------------------------------------------


def test_a_schedule_that_never_yields_is_found_with_its_line_and_ended(tmp_path: Path) -> None:
    ended: list[type[BaseException]] = []

    def run() -> None:
        try:
            simulate(odd("NeverYields"), tmp_path / "run", timing_only=True)
        except BaseException as error:
            ended.append(type(error))

    thread = threading.Thread(target=run)
    thread.start()
    deadline = monotonic() + 60
    while not stuck(0.3) and monotonic() < deadline:
        sleep(0.05)
    assert thread.ident is not None
    place = stuck(0.3)[thread.ident]
    assert place.rpartition(":")[0].endswith("odd_strategies.py")
    end_what_is_stuck(thread.is_alive)
    thread.join()
    assert ended == [KeyboardInterrupt]
    assert load_run(tmp_path / "run").status == "interrupted"
    assert stuck(0.0) == {}


def test_a_run_whose_numbers_take_long_is_not_stuck() -> None:
    found: list[dict[int, str]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            found.append(stuck(0.2))

    thread = threading.Thread(target=look)
    thread.start()
    simulate(odd("AggregatesForLong", updates=1))
    over.set()
    thread.join()
    assert len(found) > 10
    assert not any(found)


@pytest.mark.parametrize("strategy", ["NeverYields", "WaitsForAFile"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_one_signal_ends_a_run_that_makes_no_version(
    number: signal.Signals, strategy: str, tmp_path: Path
) -> None:
    said: list[str] = []
    keys = {"versions": 0, "file": str(tmp_path / "go")} if strategy == "WaitsForAFile" else {}
    scenario = odd(strategy, **keys)
    with Interruption(said.append, True) as interruption:
        send = threading.Timer(0.3, os.kill, (os.getpid(), number))
        send.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                simulate(
                    scenario,
                    tmp_path / "run",
                    timing_only=True,
                    stop_wanted=interruption.wanted,
                )
        finally:
            send.join()  # or the signal would end the tests
    assert len(said) == 1
    assert load_run(tmp_path / "run").status == "interrupted"
