"""Durations are rounded as Python rounds: to the nearest whole number, ties to the even one."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from afl_sim.world.microseconds import to_microseconds


@given(st.floats(0, 1e300))
def test_a_duration_is_rounded_as_python_rounds(seconds: float) -> None:
    assert to_microseconds(seconds, "key") == (round(seconds * 1_000_000) or 1)


@given(st.integers(0, 2**53))
def test_ties_and_their_neighbours_go_the_same_way(halves: int) -> None:
    tie = halves / 2_000_000
    for seconds in (math.nextafter(tie, 0), tie, math.nextafter(tie, math.inf)):
        assert to_microseconds(seconds, "key") == (round(seconds * 1_000_000) or 1)
