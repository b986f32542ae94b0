"""Keeps memory that training frees, since its next step needs it again."""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 1 << 30  # bytes free at the top of the heap before any are given back
_LARGEST = 1 << 25  # bytes of one block; mallopt takes no more


def keep_freed_memory() -> None:
    """Make the allocator keep freed memory, because the next step needs as much again.

    By default glibc returns large blocks to the system, which has to clear each page before it can
    be used again. That takes up to a quarter of the time of a small step. With another allocator
    this function has no effect. It changes no result.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _LARGEST)
