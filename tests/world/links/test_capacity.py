"""The integral of a bandwidth that changes in time, against another one in exact fractions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afl_sim.world.links.capacity import FRACTION, Capacity
from afl_sim.world.links.course import Course

TICK = 1 << FRACTION


@dataclass(frozen=True)
class Plain:
    """Walks over the pieces one by one, in fractions of microseconds."""

    ends: Sequence[int]
    rates: Sequence[float]
    repeats: bool

    def pieces(self) -> list[tuple[Fraction, Fraction]]:
        """(length in microseconds, bytes per microsecond)"""
        lengths = np.diff([0, *self.ends]).tolist()
        return [
            (Fraction(d), Fraction(r) / 10**6) for d, r in zip(lengths, self.rates, strict=True)
        ]

    def walk(self, begin: Fraction) -> Iterator[tuple[Fraction | None, Fraction]]:
        pieces, left, at = self.pieces(), begin, 0
        while True:
            if at == len(pieces) and not self.repeats:
                yield None, pieces[-1][1]
                return
            length, rate = pieces[at % len(pieces)]
            if left < length:
                yield length - left, rate
                left = Fraction(0)
            else:
                left -= length
            at += 1

    def end(self, begin: Fraction, size: Fraction) -> Fraction:
        time = begin
        for length, rate in self.walk(begin):
            if rate and (length is None or size <= length * rate):
                return time + size / rate
            assert length is not None
            time, size = time + length, size - length * rate
        raise AssertionError

    def carried(self, begin: Fraction, end: Fraction) -> Fraction:
        time, sum_ = begin, Fraction(0)
        for length, rate in self.walk(begin):
            if length is None or time + length >= end:
                return sum_ + (end - time) * rate
            time, sum_ = time + length, sum_ + length * rate
        raise AssertionError


rates = st.sampled_from([0.0, 1.0, 3.0, 1e6, 0.1, 1 / 3]) | st.floats(1e-3, 1e9)


@st.composite
def links(draw: st.DrawFn) -> Plain:
    pieces = draw(st.lists(st.tuples(st.integers(1, 10**7), rates), min_size=1, max_size=8))
    repeats = draw(st.booleans())
    ends = np.cumsum([length for length, _ in pieces]).tolist()
    speeds = [rate for _, rate in pieces]
    if not any(speeds) or (not repeats and not speeds[-1]):
        speeds[-1] = 2.0
    return Plain(ends, speeds, repeats)


def capacity_of(link: Plain) -> Capacity:
    return Capacity(link.ends, link.rates, link.repeats)


@settings(deadline=None)
@given(links(), st.integers(0, 10**7), st.floats(0.0, 4.0))
@example(Plain([1, 2], [0.0, 2.0], repeats=False), 0, 1e-221)  # less than a unit of data
def test_a_transfer_ends_when_the_integral_reaches_its_bytes(
    link: Plain, begin: int, periods: float
) -> None:
    capacity = capacity_of(link)
    size = float(sum(d * r for d, r in link.pieces())) * periods
    end = capacity.end(begin * TICK, capacity.amount(size))
    exact = link.end(Fraction(begin), Fraction(size)) if size else Fraction(begin)
    assert abs(Fraction(end, TICK) - exact) <= Fraction(2, TICK)


@settings(deadline=None)
@given(links(), st.integers(0, 10**7), st.integers(0, 10**8))
def test_what_is_carried_is_the_integral(link: Plain, begin: int, span: int) -> None:
    capacity = capacity_of(link)
    found = capacity.carried(begin * TICK, (begin + span) * TICK)
    exact = link.carried(Fraction(begin), Fraction(begin + span))
    assert Fraction(found, capacity.amount(1.0)) == exact


@settings(deadline=None)
@given(links(), st.integers(0, 10**7), st.integers(1, 10**6), st.data())
def test_an_interrupted_transfer_has_left_what_was_not_carried(
    link: Plain, begin: int, size: int, data: st.DataObject
) -> None:
    """Interrupted and resumed at once, it ends when it would have ended."""
    capacity = capacity_of(link)
    latency, before, after = (data.draw(st.integers(0, 5)) * TICK for _ in range(3))
    amount = capacity.amount(size)
    course = Course(before, latency, amount, data.draw(st.integers(0, 3)), latency, amount, after)
    end = course.end(capacity, begin * TICK)
    share = data.draw(st.floats(0, 1))
    now = begin * TICK + int((end - begin * TICK) * Fraction(share))
    left = course.left(capacity, begin * TICK, now)
    assert left.end(capacity, now) == end
    assert course.left(capacity, begin * TICK, begin * TICK) == course
    assert left.again <= course.again


@pytest.mark.parametrize(
    ("begin", "size", "end"),
    [
        (0, 10, 1),  # 10 bytes a second for a second, then none for two, then 20 a second for one
        (0, 11, 3.05),
        (0.5, 5, 1),  # just enough: not after the gap
        (1, 1, 3.05),
        (1.5, 20, 4),
        (1.5, 25, 4.5),
        (0, 30, 4),  # a whole period, and no more
        (0, 30 * 7, 4 * 7),
        (0, 30 * 7 + 1, 4 * 7 + 0.1),
        (3.5, 10 + 10 + 1, 4 + 3.05),
    ],
)
def test_hand_made_transfers_over_gaps(begin: float, size: float, end: float) -> None:
    second = 10**6
    capacity = Capacity([second, 3 * second, 4 * second], [10.0, 0.0, 20.0], repeats=True)
    found = capacity.end(round(begin * second) * TICK, capacity.amount(size))
    assert math.isclose(found / TICK / second, end, abs_tol=1e-12)


def test_the_last_bandwidth_stays_where_nothing_repeats() -> None:
    capacity = Capacity([10**6, 2 * 10**6], [10.0, 1.0], repeats=False)
    assert capacity.end(0, capacity.amount(111)) == 102 * 10**6 * TICK
    assert capacity.end(50 * 10**6 * TICK, capacity.amount(7)) == 57 * 10**6 * TICK
    assert capacity.mean_seconds(7) == 7


@settings(deadline=None, max_examples=25)
@given(links(), st.floats(0.01, 3.0))
def test_the_mean_over_all_beginnings_is_that_of_many(link: Plain, periods: float) -> None:
    if not link.repeats:
        return
    capacity = capacity_of(link)
    size = float(sum(d * r for d, r in link.pieces())) * periods
    begins = (np.arange(400) + 0.5) / 400 * link.ends[-1]
    amount = capacity.amount(size)
    ends = [capacity.end(int(begin) * TICK, amount) / TICK for begin in begins]
    longest = link.ends[-1] / 1e6
    mean = float(np.mean(np.array(ends) - begins.astype(int))) / 1e6
    assert capacity.mean_seconds(size) == pytest.approx(mean, abs=longest * 2e-2 + 1e-6)


def test_a_square_wave_has_the_mean_time_of_its_closed_form() -> None:
    """h B (1/a + 1/b) - B^2/2 (1/a - 1/b)^2, over 2 h, for transfers that cross one change."""
    a, b, half, size = 10.0, 2.0, 7.0, 9.0
    capacity = Capacity([7 * 10**6, 14 * 10**6], [a, b], repeats=True)
    exact = (half * size * (1 / a + 1 / b) - size**2 / 2 * (1 / a - 1 / b) ** 2) / (2 * half)
    assert capacity.mean_seconds(size) == pytest.approx(exact, rel=1e-12)
    assert capacity.mean_rate == pytest.approx((a + b) / 2, rel=1e-15)
