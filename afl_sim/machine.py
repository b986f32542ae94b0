"""Processors and memory of this machine."""

from __future__ import annotations

import ctypes
import os


def usable_processors() -> int:
    """Processors that this process may use; all of them if the system does not tell."""
    count = getattr(os, "process_cpu_count", None)  # Python 3.13
    if count is not None:
        return count() or 1
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    if affinity is not None:
        return len(affinity(0))
    return os.cpu_count() or 1


def physical_memory() -> int | None:
    """Bytes of memory that this machine has; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def return_freed_memory() -> None:
    """Give freed memory back to the system where the allocator is glibc's.

    It keeps blocks of up to 32 MiB for later use, also where there will be none: reading a data set
    in parts can leave more of them than the set is large.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
