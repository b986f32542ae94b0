"""A run's pulse: the run can be stopped and reports its progress, even if no version is made.

A run reports after each version. If no version is made while events go on, its `Pulse` reports
between two events. If a schedule does not even reach its next event, another thread can find that
out with `stuck`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from ctypes import c_ulong, py_object, pythonapi
from pathlib import Path
from threading import get_ident
from time import monotonic, sleep
from types import FrameType

from afl_sim.user_code import calls_schedule

PATIENCE = 1.0
"""Wall seconds without a version after which a run can be stopped between two events."""

_LOOK_EVERY = 0.1  # wall seconds between two beats, if events are short
_MOST_EVENTS = 64  # events between two beats at most, since events may become slow
_ONE_LOOK = 0.25  # wall seconds that one beat can add to the time without a version, at most

_PACKAGE = Path(__file__).parents[1]
_WORLD = str(_PACKAGE / "world")
_ELSEWHERE = ("global_model", "execution", "learning", "recording")
_NO_SCHEDULE = tuple(str(_PACKAGE / room) for room in _ELSEWHERE)

_beats: dict[int, float] = {}  # by the thread that turns a run's clock: its last beat


class Pulse:
    """Decides when a run reports its progress between versions, and whether it stops.

    Args:
        report: reports the progress; None if no one wants it.
        stop_wanted: returns whether the run should stop.
    """

    def __init__(
        self, report: Callable[[], None] | None, stop_wanted: Callable[[], bool] | None
    ) -> None:
        self._report = report
        self._stop_wanted = stop_wanted
        self._seen = monotonic()
        self._quiet = 0.0  # time spent on events since the last version
        self._events = 1

    def version_made(self) -> bool:
        """Note that a version was made; returns whether the run should stop."""
        self._quiet = 0.0
        return self._stop_wanted is not None and self._stop_wanted()

    def between_events(self) -> int:
        """Do what is due between two events; returns after how many events to do so again.

        A single long event, such as an evaluation, hardly counts as time without a version. The
        next version, and a checkpoint with it, may follow soon.

        Raises:
            KeyboardInterrupt: the run should stop, and no version was made for some time.
        """
        now = _beats[get_ident()] = monotonic()
        since = now - self._seen
        if since < _LOOK_EVERY:
            self._events = min(2 * self._events, _MOST_EVENTS)
            return self._events
        if since > 2 * _LOOK_EVERY:
            self._events = 1
        self._seen = now
        self._quiet += min(since, _ONE_LOOK)
        if self._report is not None:
            self._report()
        if self._quiet >= PATIENCE and self._stop_wanted is not None and self._stop_wanted():
            raise KeyboardInterrupt
        return self._events

    def __enter__(self) -> Pulse:
        self._seen = _beats[get_ident()] = monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        _beats.pop(get_ident(), None)


def stuck(seconds: float) -> dict[int, str]:
    """The threads whose schedule has reached no event for so many seconds, each with its line.

    A run that is busy with something else, such as training or writing, is not among them.
    """
    now = monotonic()
    frames = sys._current_frames()
    found = {}
    for thread, beat in list(_beats.items()):
        if now - beat >= seconds and thread in frames:
            place = _in_schedule(frames[thread])
            if place is not None:
                found[thread] = place
    return found


def end_what_is_stuck(wanted: Callable[[], bool]) -> None:
    """Interrupt schedules that are stuck, as long as that is wanted.

    They cannot ask whether to stop, so a KeyboardInterrupt is raised in their threads.
    """
    while wanted():
        sleep(PATIENCE / 4)
        for thread in stuck(PATIENCE):
            _interrupt(thread)


def _interrupt(thread: int) -> None:
    """Raise KeyboardInterrupt in a thread, before its next line of Python."""
    pythonapi.PyThreadState_SetAsyncExc(c_ulong(thread), py_object(KeyboardInterrupt))


def _in_schedule(frame: FrameType | None) -> str | None:
    """The line of a schedule that a thread is in; None if it is in no schedule."""
    place = None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_NO_SCHEDULE):
            return None
        if calls_schedule(frame):
            return place
        if place is None and not file.startswith(_WORLD):
            place = f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return None
