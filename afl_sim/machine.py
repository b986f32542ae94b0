"""Processors and memory of this machine."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache
from importlib.util import find_spec


def usable_processors() -> int:
    """Processors that this process may use; all of them if the system does not tell."""
    count = getattr(os, "process_cpu_count", None)  # Python 3.13
    if count is not None:
        return count() or 1
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    if affinity is not None:
        return len(affinity(0))
    return os.cpu_count() or 1


def rounds_to_nearest() -> bool:
    """Whether this thread's floating-point arithmetic rounds as usual: to nearest, ties to even.

    Libraries for interval arithmetic round up or down, and some leave it so.
    """
    half, more = 2.0**-53, 1.5 * 2.0**-53
    return 1.0 + half == 1.0 and 1.0 + more != 1.0 and -1.0 - half == -1.0


def compiled() -> bool:
    """Whether this is the optional build, whose schedules run through compiled modules."""
    found = find_spec("afl_sim.streams")  # one of them
    return found is not None and not str(found.origin).endswith(".py")


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


def instruction_set() -> str | None:
    """The widest vector instructions that PyTorch has code for; None if the system tells none."""
    flags = processor_flags()
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"} <= flags:
        return "AVX512"
    return "AVX2" if {"avx2", "fma"} <= flags else None


def processor_flags() -> frozenset[str]:
    """The processor's instruction sets; empty if the system does not tell."""
    return frozenset((_processor_line("flags") or "").split())


def cpu_vendor() -> str:
    """The processor's vendor, such as ``GenuineIntel``; MKL chooses its kernels by it."""
    found = _processor_line("vendor_id", "CPU implementer")
    return platform.processor() or platform.machine() if found is None else found


@cache
def _processor_line(*names: str) -> str | None:
    """What Linux says of the first processor under one of these names."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() in names:
                    return value.strip()
    except OSError:
        pass  # not Linux
    return None
