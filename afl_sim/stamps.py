"""When a file was last changed: the key of what is kept of its content."""

from __future__ import annotations

import os
import time
from itertools import count

_TICK_NS = 50_000_000  # longer than the ticks in which systems count the times of files
_numbers = count()


def stamp_of(found: os.stat_result) -> tuple[int, ...]:
    """What stays the same as long as a file does: its size, its times and its number.

    A file that has just been changed can be changed again in the same tick of the clock of its file
    system. Then nothing of this tells. So the stamp of such a file is like no other.
    """
    stamp = found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
    if max(found.st_mtime_ns, found.st_ctime_ns) > time.time_ns() - _TICK_NS:
        return (*stamp, next(_numbers))
    return stamp
