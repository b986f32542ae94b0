"""Comparison of numerics fingerprints, which must be equal for two results to agree bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_UNKNOWN: Final = "not recorded"


def numerics_differences(then: Any, now: Any, *, whose: str = "here") -> str:
    """The entries in which two fingerprints differ, in words; empty where none does.

    A run folder of older code lacks entries; their word is "not recorded".

    Args:
        then, now: fingerprints, as the manifests and summaries of runs have them.
        whose: what the second of them belongs to.

    Example:
        >>> from afl_sim.recording.fingerprints import numerics_differences
        >>> numerics_differences({"torch": "2.14.1"}, {"torch": "2.15.0"})
        'torch: 2.14.1, here 2.15.0'
    """
    one, other = (each if isinstance(each, Mapping) else {} for each in (then, now))
    found = [
        f"{name}: {one.get(name, _UNKNOWN)}, {whose} {other.get(name, _UNKNOWN)}"
        for name in dict.fromkeys((*one, *other))
        if one.get(name, _UNKNOWN) != other.get(name, _UNKNOWN)
    ]
    return "; ".join(found)
