"""A run that has ended is written whole, even if the user interrupts it meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from places import SMALLEST

from afl_sim.recording import load_run
from afl_sim.run.api import load_scenario, simulate
from afl_sim.run.recorder import Recorder
from afl_sim.run.uninterrupted import uninterrupted


@pytest.fixture(autouse=True)
def _a_signal_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_while_results_are_written_waits_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_trace = Recorder.write_trace

    def interrupted(recorder: Recorder, *arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        write_trace(recorder, *arguments)

    monkeypatch.setattr(Recorder, "write_trace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(load_scenario(SMALLEST), out=tmp_path / "run", timing_only=True)
    run = load_run(tmp_path / "run")
    assert (run.status, run.summary["updates"]["aggregated"]) == ("complete", 60)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_gets_through_at_once() -> None:
    done = []

    @uninterrupted()
    def block() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("first")
        signal.raise_signal(signal.SIGINT)
        done.append("second")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["first"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with uninterrupted():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.raise_signal(signal.SIGINT)


def test_an_error_of_the_block_is_the_context_of_the_interruption() -> None:
    @uninterrupted()
    def block() -> None:
        signal.raise_signal(signal.SIGINT)
        raise OSError("the disk is full")

    with pytest.raises(KeyboardInterrupt) as caught:
        block()
    assert isinstance(caught.value.__context__, OSError)


def test_another_thread_leaves_signals_alone() -> None:
    seen = []

    def block() -> None:
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
