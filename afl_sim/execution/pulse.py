"""A run's pulse: looking up from its events a few times a second, and noticing where that stops.

A run looks up after each version. Where none comes, and the clock goes on, its `Pulse` does so
between two events. Where a schedule does not even come to its next event, `stuck` says so to
another thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from ctypes import c_ulong, py_object, pythonapi
from pathlib import Path
from threading import get_ident
from time import monotonic, sleep
from types import FrameType

PATIENCE = 1.0
"""Wall seconds without a version after which a run can be stopped between two events."""

_LOOK_EVERY = 0.1  # wall seconds between looks, if events are short
_MOST_EVENTS = 16  # until the next look: they may become slow
_ONE_LOOK = 0.25  # the most that one look counts for as time without a version

_PACKAGE = Path(__file__).parents[1]
_WORLD = str(_PACKAGE / "world")
_ELSEWHERE = ("global_model", "execution", "learning", "recording")
_NO_SCHEDULE = tuple(str(_PACKAGE / room) for room in _ELSEWHERE)

_beats: dict[int, float] = {}  # by the thread that turns a run's clock: when it last looked up


class Pulse:
    """When a run looks up, and whether it is to stop there.

    Args:
        report: tells where the run stands; None where nobody wants to know.
        stop_wanted: whether the run is to stop.
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
        """A version is there; returns whether the run is to stop with it."""
        self._quiet = 0.0
        return self._stop_wanted is not None and self._stop_wanted()

    def between_events(self) -> int:
        """Look up between two events; returns after how many more of them to do so again.

        A single long event, such as an evaluation, is not taken for time without a version: the
        next one may be about to come, and with it a checkpoint.

        Raises:
            KeyboardInterrupt: the run is to stop, and no version has come for some time.
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
    """The threads whose schedule has come to no event for so long, each with where it is.

    A run that is at work on anything else (training, say, or writing) is not among them.
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
    """Break off, as long as it is wanted, schedules that are stuck and so never ask about it.

    Their threads get a KeyboardInterrupt.
    """
    while wanted():
        sleep(PATIENCE / 4)
        for thread in stuck(PATIENCE):
            _interrupt(thread)


def _interrupt(thread: int) -> None:
    """Raise KeyboardInterrupt in a thread, before its next line of Python."""
    pythonapi.PyThreadState_SetAsyncExc(c_ulong(thread), py_object(KeyboardInterrupt))


def _in_schedule(frame: FrameType | None) -> str | None:
    """The line of a schedule at which a thread is; None if it is not in one."""
    place = None
    while frame is not None:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if file.startswith(_NO_SCHEDULE):
            return None
        if file.startswith(_WORLD):
            if name == "_supervised":
                return place
        elif place is None:
            place = f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return None
