"""Clients that run on a battery: one that is low is charged before it is there again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.sections.battery import Battery
from afl_sim.streams import Streams
from afl_sim.world.account.devices import PICO, joules
from afl_sim.world.availability.protocol import Availability, State
from afl_sim.world.microseconds import to_microseconds


@dataclass
class _Level:
    """A client's battery: what may still be used, and since when its device has been idle.

    Attributes:
        usable: picojoules above the level at which it is low.
        idle_since_us: from when idle power counts.
    """

    usable: int
    idle_since_us: int = 0


@dataclass
class Batteries:
    """The batteries of a fleet, as its account uses them.

    A battery is looked at when its client has ended its last task: a task that was begun is
    finished. A low one is charged to the full, and its client is away meanwhile. A poll looks at
    the battery, too, so that the client's next task does not begin before it is charged.

    Attributes:
        of: gives the battery of a client; None if its device is on the mains.
        streams: the run's random streams.
        on_low: called with a client whose battery is low, and when it is charged (microseconds).
    """

    of: Callable[[int], Battery | None]
    streams: Streams
    on_low: Callable[[int, int], None] = lambda client, until_us: None
    _levels: dict[int, _Level] = field(default_factory=dict)
    _charging: dict[int, int] = field(default_factory=dict)  # until when

    def begin(self, client: int, idle_watts: int, now_us: int, joined_us: int) -> None:
        """The client has a task, and had none before.

        Args:
            client: who.
            idle_watts: its idle power (microwatts), which counts from when it has joined.
            now_us, joined_us: now, and when it has joined.
        """
        battery = self.of(client)
        if battery is None:
            return
        level = self._levels.get(client)
        if level is None:
            share = draw(battery.level, self.streams, "battery.level", client)
            usable = round((share - battery.low) * self._capacity(battery, client))
            level = self._levels[client] = _Level(usable, joined_us)
        level.usable -= idle_watts * max(0, now_us - level.idle_since_us)

    def spend(self, client: int, picojoules: int, last: bool, now_us: int) -> None:
        """A task of the client is over, and has used so much; ``last`` if it has no other."""
        level = self._levels.get(client)
        battery = self.of(client)
        if level is None or battery is None:
            return
        level.usable -= picojoules
        if not last:
            return
        level.idle_since_us = now_us
        if level.usable > 0:
            return
        seconds = draw(battery.charging, self.streams, "battery.charging", client)
        charged = now_us + to_microseconds(seconds, "clients.battery.charging")
        level.usable = round((1 - battery.low) * self._capacity(battery, client))
        level.idle_since_us = charged
        self._charging[client] = charged
        self.on_low(client, charged)

    def is_low(self, client: int, picojoules: int) -> bool:
        """Whether the client's battery is low once its task has used so much."""
        level = self._levels.get(client)
        return level is not None and level.usable <= picojoules

    def over(self, inner: Availability | None) -> Availability:
        """When clients are there that also have a battery."""
        return _Charged(inner, self._charging)

    def _capacity(self, battery: Battery, client: int) -> float:
        held = draw(battery.capacity, self.streams, "battery.capacity", client)
        return joules(held, "battery.capacity") * PICO


class _Charged:
    """An availability of which the times of charging are left out."""

    def __init__(self, inner: Availability | None, charging: dict[int, int]) -> None:
        self._inner = inner
        self._charging = charging

    def state(self, client: int, now_us: int) -> State:
        """Away while the battery is charged; otherwise as without it."""
        until = self._charging.get(client, 0)
        if now_us < until:
            return False, until
        return (True, None) if self._inner is None else self._inner.state(client, now_us)
