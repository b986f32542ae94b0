"""Clients that are available when a trace says so."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache

from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.sections.availability import TracedAvailability
from afl_sim.scenario.traces.intervals import Intervals, folded, joined
from afl_sim.streams import Streams
from afl_sim.world.availability.protocol import State
from afl_sim.world.microseconds import to_microseconds

_KEY = "clients.availability.repeat"
_KEPT = 1 << 17  # bounded: memory must not grow with the population


class Traced:
    """Measured intervals.

    Args:
        intervals: for each client of the trace, in order, in microseconds.
        repeat_us: after how long they repeat; None if they do not, or not after one time for all.
        place: the place of a client in the trace, modulo its number of clients.
        repeats: gives the time after which they repeat for a client, in microseconds; None if that
            is ``repeat_us``. Intervals may then be longer, and begin at any time.
    """

    def __init__(
        self,
        intervals: Intervals,
        repeat_us: int | None,
        place: Callable[[int], int],
        repeats: Callable[[int], int] | None = None,
    ) -> None:
        self._intervals = intervals
        self._repeat = repeat_us
        self._place = place
        self._own = None if repeats is None else lru_cache(_KEPT)(self._folded)
        self._repeats = repeats

    def _folded(self, client: int) -> tuple[int, tuple[tuple[int, int], ...]]:
        assert self._repeats is not None
        repeat = self._repeats(client)
        intervals = self._intervals[self._place(client) % len(self._intervals)]
        return repeat, joined(folded(intervals, repeat))

    def state(self, client: int, now_us: int) -> State:
        """By the current interval, or the next one."""
        if self._own is not None:
            repeat, intervals = self._own(client)
            return _state_in(intervals, repeat, now_us)
        intervals = self._intervals[self._place(client) % len(self._intervals)]
        return _state_in(intervals, self._repeat, now_us)


def _state_in(intervals: tuple[tuple[int, int], ...], repeat: int | None, now_us: int) -> State:
    """The state of a client with these intervals, which repeat after so many microseconds."""
    if not intervals:
        return False, None
    turn = 0 if repeat is None else now_us - now_us % repeat
    time = now_us - turn
    at = bisect_right(intervals, (time, 1 << 63)) - 1
    if at >= 0 and time < intervals[at][1]:
        return True, turn + intervals[at][1]
    if at + 1 < len(intervals):
        return False, turn + intervals[at + 1][0]
    return False, None if repeat is None else turn + repeat + intervals[0][0]


def traced(settings: TracedAvailability, streams: Streams, place: Callable[[int], int]) -> Traced:
    """What a scenario describes; ``place`` is a client's place in the trace."""
    law, intervals = settings.repeat, settings.presences.intervals
    if law is None:
        return Traced(intervals, None, place)
    if law.constant is not None:
        return Traced(intervals, to_microseconds(law.constant, _KEY), place)

    def repeats(client: int) -> int:
        return to_microseconds(draw(law, streams, "availability.repeat", client), _KEY)

    return Traced(intervals, None, place, repeats)
