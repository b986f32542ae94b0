"""When the server acts next: it does nothing while it is down."""

from __future__ import annotations

from afl_sim.world.availability.outages import Outages
from afl_sim.world.clock import Clock, Wake
from afl_sim.world.microseconds import to_microseconds


class Alarm:
    """Wakes the server after a time, or as soon after it as the server is up.

    Args:
        env: the clock.
        outages: when the server is down.
    """

    def __init__(self, env: Clock, outages: Outages) -> None:
        self._env = env
        self._outages = outages

    def delay_us(self, seconds: float, key: str) -> int:
        """Microseconds until the server wakes.

        Args:
            seconds: how long it wants to wait.
            key: the scenario key of that time, for errors.
        """
        now = self._env.now_us
        return self._outages.up_us(now + to_microseconds(seconds, key)) - now

    def after(self, seconds: float, key: str) -> Wake:
        """The event that the server wakes; the arguments are those of `delay_us`."""
        return Wake(self._env, self.delay_us(seconds, key))
