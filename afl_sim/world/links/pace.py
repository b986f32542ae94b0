"""The pace of a link of the server whose bandwidth changes in time.

Transfers that contend for a link are amounts of work: the microseconds that they would take alone
at the link's mean bandwidth. Its pace says how much work the link has done by a time, and when it
will have done some amount. A link that does not vary does a microsecond's work in every
microsecond.
"""

from __future__ import annotations

from afl_sim.world.links.capacity import FRACTION, Capacity


class Pace:
    """How much a link has done by a time, in units so small that nothing is rounded.

    Args:
        capacity: what the link carries.
        phase_us: its position at the start of the run.

    Attributes:
        microsecond: the units in a microsecond of work.
    """

    def __init__(self, capacity: Capacity, phase_us: int = 0) -> None:
        self._capacity = capacity
        self._start = phase_us << FRACTION
        # In a period the link carries `per_period`, and does as many ticks of work as it has. So a
        # unit is what it carries, divided by the number of ticks.
        self.microsecond = capacity.per_period << FRACTION

    def work(self, time_us: int) -> int:
        """The work done from the start of the run until a microsecond."""
        carried = self._capacity.carried(self._start, self._start + (time_us << FRACTION))
        return carried * self._capacity.period

    def when(self, work: int) -> int:
        """The first whole microsecond at which so much work is done."""
        amount = -(-work // self._capacity.period)
        ticks = self._capacity.end(self._start, amount) - self._start
        return -(-ticks >> FRACTION)
