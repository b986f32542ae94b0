"""Comparison of numerics fingerprints, which must be equal for two results to agree bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

REASON: Final = "bits_reason"
"""The entry that says why bits are native although the scenario would allow portable ones."""

_UNKNOWN: Final = "not recorded"


def numerics_differences(then: Any, now: Any, *, whose: str = "here") -> str:
    """The entries in which two fingerprints differ, in words; empty where none does.

    A run folder of older code lacks entries; their word is "not recorded". If it lacks ``bits``,
    its bits are native. If one result is portable and the other native, only that is said.

    Args:
        then, now: fingerprints, as the manifests and summaries of runs have them.
        whose: what the second of them belongs to.

    Example:
        >>> from afl_sim.recording.fingerprints import numerics_differences
        >>> numerics_differences({"torch": "2.14.1"}, {"torch": "2.15.0"})
        'torch: 2.14.1, here 2.15.0'
    """
    one, other = (_entries(each) for each in (then, now))
    if one and other and ("bits" in one or "bits" in other):
        bits = [each.setdefault("bits", "native") for each in (one, other)]
        if bits[0] != bits[1]:
            return f"bits: {bits[0]}, {whose} {bits[1]}"
    found = [
        f"{name}: {one.get(name, _UNKNOWN)}, {whose} {other.get(name, _UNKNOWN)}"
        for name in dict.fromkeys((*one, *other))
        if one.get(name, _UNKNOWN) != other.get(name, _UNKNOWN)
    ]
    return "; ".join(found)


def _entries(fingerprint: Any) -> dict[str, Any]:
    """The entries that count; why bits are native does not."""
    if not isinstance(fingerprint, Mapping):
        return {}
    return {name: value for name, value in fingerprint.items() if name != REASON}
