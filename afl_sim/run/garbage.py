"""Frees the memory of runs that are over, where many runs follow each other in one process."""

from __future__ import annotations

import gc
from time import perf_counter

_SHARE = 0.02  # of the time, at most, is spent on this
_FIRST = 5.0  # seconds before the first time, so that a short command does not pay for it

_next = perf_counter() + _FIRST


def free_finished_runs() -> None:
    """Collect what finished runs have left, unless that was done a short while ago.

    The clock of a run refers to its processes and they to the clock, so only the garbage collector
    frees them, with the fleet and the samples that they refer to. By itself Python looks at objects
    that have lived long once there are a quarter more of them. It counts objects and not bytes: a
    hundred runs came to gigabytes before that.
    """
    global _next
    began = perf_counter()
    if began < _next:
        return
    gc.collect()
    ended = perf_counter()
    _next = ended + (ended - began) / _SHARE
