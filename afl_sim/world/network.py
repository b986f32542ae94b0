"""How long transfers take: delay belongs to a link, not to its ends."""

from __future__ import annotations

from functools import lru_cache

from afl_sim.scenario.clients import Link
from afl_sim.scenario.distributions import Distribution
from afl_sim.streams import Streams
from afl_sim.world.clock import to_microseconds
from afl_sim.world.draws import draw

_RATES_KEPT = 1 << 16


class UncontendedLink:
    """Every client's own path to or from the server: ``latency + bytes / bandwidth`` seconds.

    Args:
        spec: latency in seconds and bandwidth in bytes per second, each drawn once per client.
        name: ``"download"`` or ``"upload"``, the link's key in the scenario.
        streams: the run's random streams.
    """

    def __init__(self, spec: Link, name: str, streams: Streams) -> None:
        self._spec = spec
        self._name = name
        self._streams = streams
        self._free = spec.bandwidth is None and spec.latency.constant == 0
        self._terms = lru_cache(_RATES_KEPT)(self._draw_terms)

    def microseconds(self, client: int, size: int) -> int:
        """How long ``size`` bytes take; 0 means that the transfer takes no time at all."""
        if self._free:
            return 0
        return to_microseconds(self.seconds(client, size), f"clients.network.{self._name}")

    def seconds(self, client: int, size: int) -> float:
        """The same before rounding."""
        latency, per_byte = self._terms(client)
        return latency + size * per_byte

    def _draw_terms(self, client: int) -> tuple[float, float]:
        bandwidth = self._spec.bandwidth
        per_byte = (
            1.0 / self._draw(bandwidth, "bandwidth", client) if bandwidth is not None else 0.0
        )
        return self._draw(self._spec.latency, "latency", client), per_byte

    def _draw(self, law: Distribution, what: str, client: int) -> float:
        return draw(law, self._streams, f"network.{self._name}.{what}", client)
