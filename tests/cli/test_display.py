"""What the command line shows while a run goes on, and how Ctrl-C breaks it off."""

from __future__ import annotations

import os
import signal
import threading
from time import sleep

import pytest
from places import SMALLEST
from rich.console import Console

from afl_sim import load_scenario
from afl_sim.cli import display, reproducing
from afl_sim.cli.display import Display, Interruption, fraction_done
from afl_sim.errors import AflSimError
from afl_sim.papers.target import Target
from afl_sim.run.api import Progress
from afl_sim.scenario import Case, Scenario


def stopping(rules: str) -> Scenario:
    return load_scenario(SMALLEST, [f"stop={rules}", "evaluation.every_versions=5"])


def at(
    seconds: float = 0.0,
    version: int = 0,
    updates: int = 0,
    samples: int = 0,
    accuracy: float | None = None,
) -> Progress:
    return Progress(seconds, version, updates, samples, accuracy)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Wall time in seconds, one number that a test sets."""
    now = [100.0]
    monkeypatch.setattr(display, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("rules", "progress", "share"),
    [
        ("{updates: 60}", at(updates=15), 0.25),
        ("{virtual_seconds: 50}", at(seconds=10.0, updates=999), 0.2),
        ("{versions: 4}", at(version=3), 0.75),
        ("{samples: 1000}", at(samples=500), 0.5),
        ("{updates: 60, virtual_seconds: 50}", at(updates=15, seconds=40.0), 0.8),
        ("{updates: 60}", at(updates=64), 1.0),  # the last batch may go beyond
        ("{accuracy: 0.9}", at(updates=64, accuracy=0.5), 0.0),
    ],
)
def test_progress_is_that_of_the_nearest_stop_rule(
    rules: str, progress: Progress, share: float
) -> None:
    assert fraction_done(stopping(rules), progress) == pytest.approx(share)


def test_a_pipe_gets_a_line_every_few_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Display() as display:
        report = display.watch(Case("one", stopping("{updates: 60}")))
        for now in (100.1, 104.9):
            clock[0] = now
            report(at(updates=1))
        assert capsys.readouterr().err == ""
        clock[0] = 105.0
        report(at(1234.5, 7, 15, 150, 0.8125))
        clock[0] = 106.0
        report(at(2000.0, 8, 16, 160, 0.8125))
        clock[0] = 110.0
        report(at(3000.0, 12, 30, 300, None))
        display.finish("one: complete in 10.0 s [not markup]")
    printed = capsys.readouterr()
    assert printed.out == ""  # results alone go there
    assert printed.err.splitlines() == [
        "one: 25%  1,234 s virtual  version 7  accuracy 0.812  3.0 updates/s",
        "one: 50%  3,000 s virtual  version 12  3.0 updates/s",
        "one: complete in 10.0 s [not markup]",
    ]


def test_the_time_before_a_run_begins_is_not_its_silence(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Display() as display:
        display.expect(2)
        for label, begins in (("one", 104.0), ("two", 108.0)):
            clock[0] = begins
            report = display.watch(Case(label, stopping("{updates: 60}")))
            clock[0] = begins + 3.0
            report(at(updates=30))
            display.end(label, f"{label}: complete")
    assert capsys.readouterr().err.splitlines() == ["one: complete", "two: complete"]


def test_a_terminal_gets_a_bar(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Console, "is_terminal", property(lambda self: True))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Display() as display:
        report = display.watch(Case("one", stopping("{updates: 60}")))
        clock[0] = 100.2
        report(at(60.0, 7, 15, 150, 0.8125))
        bar = display._bar
        assert bar.tasks[0].completed == 0.25
        clock[0] = 100.25  # too soon to draw again
        report(at(61.0, 8, 30, 150, 0.8125))
        assert bar.tasks[0].completed == 0.25
    assert bar.live.is_started is False
    assert "version 7" in capsys.readouterr().err


def test_a_bar_is_taken_down_when_the_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Console, "is_terminal", property(lambda self: True))
    display = Display()
    with pytest.raises(ValueError, match="broken"), display:
        raise ValueError("broken")
    assert display._bar.live.is_started is False


@pytest.mark.parametrize("timing_only", [False, True])
def test_a_checkpoint_is_promised_only_where_there_is_one(timing_only: bool) -> None:
    said: list[str] = []
    with Interruption(said.append, timing_only) as interruption:
        interruption.check()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    assert ("checkpoint" in said[0]) is not timing_only


def test_ctrl_c_between_two_targets_ends_them_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[str] = []

    def interrupted(target: Target, *rest: object) -> None:
        begun.append(target.name)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)  # while its figure is drawn, say
        raise AflSimError(f"{target.name} went wrong")

    monkeypatch.setattr(reproducing, "_reproduce", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reproducing.reproduce(["queueing", "safa", "quafl"])
    assert begun == ["queueing", "safa"]
    said = capsys.readouterr().err
    assert "error: queueing went wrong\nerror: safa went wrong\n" in said


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_and_the_second_insists(number: signal.Signals) -> None:
    said: list[str] = []
    before = [signal.getsignal(n) for n in SIGNALS]
    with Interruption(said.append) as interruption:
        assert not interruption.wanted()
        os.kill(os.getpid(), number)
        assert interruption.wanted()
        assert len(said) == 1
        assert "a second signal stops at once" in said[0]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert len(said) == 1
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        with Interruption(lambda text: None) as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interruption.wanted()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_that_comes_to_no_event_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks: list[float] = []
    me = threading.get_ident()

    def stuck(seconds: float) -> dict[int, str]:
        looks.append(seconds)
        return {me: "mine.py:7"} if len(looks) > 1 else {}

    monkeypatch.setattr(display, "_SILENCE", 0.05)
    monkeypatch.setattr(display, "stuck", stuck)
    with Display() as shown:
        shown.watch(Case("one", stopping("{updates: 60}")))
        while len(looks) < 5:
            sleep(0.01)
    said = capsys.readouterr().err.splitlines()
    assert said == ["one: the schedule has reached no event for more than 0 s; it is at mine.py:7"]
