"""The course of a transfer on a link whose bandwidth changes in time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from afl_sim.errors import ScenarioError
from afl_sim.world.links.capacity import Capacity

_MOST: Final = 1 << 20  # attempts of one transfer: a few seconds of the simulator's time


@dataclass(frozen=True, slots=True)
class Course:
    """What is left of a transfer.

    Times are in ticks, and amounts in the units of the link's `Capacity`.

    Attributes:
        before: fixed time until the client's link is reached.
        latency, amount: what is left of the current attempt.
        again: how many whole attempts follow it.
        whole_latency, whole_amount: of each of those.
        after: fixed time once the client's link has been crossed.
    """

    before: int
    latency: int
    amount: int
    again: int
    whole_latency: int
    whole_amount: int
    after: int

    def end(self, capacity: Capacity, begin: int) -> int:
        """The tick at which the transfer is over if it goes on at ``begin``.

        Raises:
            ScenarioError: it is lost so often that its attempts cannot be followed.
        """
        time = capacity.end(begin + self.before + self.latency, self.amount)
        if self.again > _MOST:
            raise ScenarioError(
                f"clients.network: a transfer is lost {self.again:,} times; expected a smaller "
                "loss where the bandwidth changes in time"
            )
        for _ in range(self.again):
            time = capacity.end(time + self.whole_latency, self.whole_amount)
        return time + self.after

    def left(self, capacity: Capacity, begin: int, now: int) -> Course:
        """What is left at ``now`` if the transfer went on at ``begin``."""
        left, time = self, begin
        if now - time < left.before:
            return replace(left, before=left.before - (now - time))
        time += left.before
        left = replace(left, before=0)
        while True:
            if now - time < left.latency:
                return replace(left, latency=left.latency - (now - time))
            time += left.latency
            end = capacity.end(time, left.amount)
            if now < end:
                amount = left.amount - capacity.carried(time, now)
                return replace(left, latency=0, amount=amount)
            time = end
            if not left.again:
                break
            left = replace(
                left,
                latency=left.whole_latency,
                amount=left.whole_amount,
                again=left.again - 1,
            )
        after = max(0, left.after - (now - time))
        return replace(left, latency=0, amount=0, after=after)
