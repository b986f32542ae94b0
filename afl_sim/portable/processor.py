"""Whether this machine can compute in portable arithmetic."""

from __future__ import annotations

import platform
import sys
from functools import cache
from typing import Any

_NEEDED = ("avx2", "fma")


@cache
def shortfall() -> str | None:
    """What keeps this machine from portable arithmetic, in words; None if nothing does."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return f"it needs an x86-64 processor, and this one is {platform.machine()}"
    if not sys.platform.startswith("linux"):
        return f"it was tried on Linux only, and this system is {platform.system()}"
    flags = _flags()
    missing = [name.upper() for name in _NEEDED if name not in flags]
    if not missing and not _computes_with_avx2():
        missing = ["AVX2"]
    if missing:
        return f"it needs a processor with {' and '.join(missing)}"
    from afl_sim.portable.blas import unavailable

    return unavailable()


def _computes_with_avx2() -> bool:
    """What the processor says itself: an emulator may show the flags of another one."""
    import torch

    ask: Any = getattr(torch.cpu, "_is_avx2_supported", lambda: True)
    return bool(ask())


def _flags() -> frozenset[str]:
    """The processor's instruction sets; empty if the system does not tell."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == "flags":
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()
