"""A server that is down from time to time."""

from __future__ import annotations

from afl_sim.scenario.sections.faults import Pauses
from afl_sim.streams import Streams
from afl_sim.world.availability.timelines import OnOff


class Outages:
    """When the server is down: an alternating renewal process that begins with the server up.

    While it is down, it receives nothing, notices no failure, sends nothing and finishes nothing.
    All of this happens when it is up again.

    Args:
        settings: how long it is up and down; None is always up.
        streams: the run's random streams.
    """

    def __init__(self, settings: Pauses | None, streams: Streams) -> None:
        self.happen = settings is not None and settings.lasts.constant != 0
        if settings is not None:
            names = ("server.pauses.every", "server.pauses.lasts")
            self._process = OnOff(settings.every, settings.lasts, 0, streams, names)

    def state(self, now_us: int) -> tuple[bool, int]:
        """Whether the server is up, and until when (microseconds)."""
        up, until = self._process.state(0, now_us)
        assert until is not None
        return up, until

    def up_us(self, time_us: int) -> int:
        """The first instant from this one on at which the server is up."""
        if not self.happen:
            return time_us
        up, until = self.state(time_us)
        return time_us if up else until
