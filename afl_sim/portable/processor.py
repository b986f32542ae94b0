"""Whether this machine can compute in portable arithmetic."""

from __future__ import annotations

import platform
import sys
from functools import cache
from typing import Any

import numpy as np

from afl_sim.machine import processor_flags

_NEEDED = ("avx2", "fma")


@cache
def shortfall() -> str | None:
    """What keeps this machine from portable arithmetic, in words; None if nothing does."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return f"it needs an x86-64 processor, and this one is {platform.machine()}"
    if not sys.platform.startswith("linux"):
        return f"it was tried on Linux only, and this system is {platform.system()}"
    flags = processor_flags()
    missing = [name.upper() for name in _NEEDED if name not in flags]
    if not missing and not _computes_with_avx2():
        missing = ["AVX2"]
    if missing:
        return f"it needs a processor with {' and '.join(missing)}"
    from afl_sim.portable.blas import unavailable

    return unavailable()


def _computes_with_avx2() -> bool:
    """What the processor says itself: an emulator may show the flags of another one."""
    known: Any = getattr(np, "_core", None) or np.core
    features = getattr(known._multiarray_umath, "__cpu_features__", {})
    if features.get("AVX2"):
        return True
    import torch  # NumPy can be told to use fewer instructions than there are

    ask: Any = getattr(torch.cpu, "_is_avx2_supported", lambda: True)
    return bool(ask())
