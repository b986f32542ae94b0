"""The end of a run is written whole, even if a signal comes meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back the first signal that interrupts a run until the block has ended.

    A further one gets through at once, so that a disk that hangs can still be left. In any other
    thread than the main one nothing changes, since signals do not reach it.

    Raises:
        KeyboardInterrupt: at the end of the block, if the signal that was held back raises it.
    """
    if current_thread() is not main_thread():
        yield
        return
    held: list[int] = []
    before: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS}

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            _restore(before)
            signal.raise_signal(number)
        held.append(number)

    for number, handler in before.items():
        if callable(handler):  # what is ignored, or ends the process, stays so
            signal.signal(number, hold)
    try:
        yield
    finally:
        _restore(before)
        for number in held:
            signal.raise_signal(number)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, handler)
