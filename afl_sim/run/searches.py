"""Fewer searches for garbage while a schedule is computed without numbers."""

from __future__ import annotations

import gc
from types import TracebackType
from typing import Self

_OBJECTS = 100_000  # more than there were after the last search; it is 700 by default


class FewerSearches:
    """Has Python look for circles of objects more seldom, until `end` or the end of the block.

    What a schedule holds is tasks and their entries in queues, which reference counts free. Where
    thousands of them are in flight, most searches go through all of them and find nothing. Tensors
    are another matter: circles that hold them would wait too long.
    """

    def __init__(self) -> None:
        self._usual: tuple[int, int, int] | None = None

    def __enter__(self) -> Self:
        self._usual = gc.get_threshold()
        first, *others = self._usual
        if first:  # else there are no searches
            gc.set_threshold(max(first, _OBJECTS), *others)
        return self

    def end(self) -> None:
        """Look as often as before; a second call does nothing."""
        if self._usual is not None:
            gc.set_threshold(*self._usual)
            self._usual = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
