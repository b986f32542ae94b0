"""Fewer searches for garbage while a schedule is computed without numbers."""

from __future__ import annotations

import gc
from threading import Lock
from types import TracebackType
from typing import Self

_OBJECTS = 100_000  # more than there were after the last search; it is 700 by default


# Runs in threads of one process share what Python does: the first one in changes it, the last one
# out brings it back.
_lock = Lock()
_inside = 0
_usual = (0, 0, 0)


class FewerSearches:
    """Has Python look for circles of objects more seldom, until `end` or the end of the block.

    What a schedule holds is tasks and their entries in queues, which reference counts free. Where
    thousands of them are in flight, most searches go through all of them and find nothing. Tensors
    are another matter: circles that hold them would wait too long.
    """

    def __init__(self) -> None:
        self._within = False

    def __enter__(self) -> Self:
        global _inside, _usual
        with _lock:
            if not _inside:
                _usual = gc.get_threshold()
                first, *others = _usual
                if first:  # else there are no searches
                    gc.set_threshold(max(first, _OBJECTS), *others)
            _inside += 1
        self._within = True
        return self

    def end(self) -> None:
        """Look as often as before, once no other run wants less; a second call does nothing."""
        global _inside
        if self._within:
            self._within = False
            with _lock:
                _inside -= 1
                if not _inside:
                    gc.set_threshold(*_usual)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
