"""How long transfers take. Delay is a property of a link, not of its ends.

A transfer crosses two links, one after the other: a download first the server's and then the
client's own, an upload first the client's own and then the server's.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import simpy

from afl_sim.scenario.distributions.draws import draw, drawer, draws
from afl_sim.scenario.sections import network as spec
from afl_sim.streams import Streams
from afl_sim.world.links.capacity import Capacity
from afl_sim.world.links.contended import FifoLink, Link, SharedLink
from afl_sim.world.links.pace import Pace
from afl_sim.world.links.traced import capacity_of, drawn_link
from afl_sim.world.microseconds import CLOCK_END, all_to_microseconds, to_microseconds

_CLIENTS_KEPT = 1 << 14  # a bounded cache: memory must not grow with the population

Ints = npt.NDArray[np.int64]


class ClientLink:
    """Every client's own path in one direction: ``(latency + bytes / bandwidth) * jitter``.

    A transfer that is lost is repeated at once. The number of attempts is geometric and comes from
    one draw; jitter is the same for all of them.

    Args:
        link: latency in seconds and bandwidth in bytes per second, each drawn once per client.
        name: ``"download"`` or ``"upload"``, the link's key in the scenario.
        streams: the run's random streams.

    Attributes:
        steady: whether all transfers of a client are alike.
        per_task, per_client: the streams of what is drawn for each task and for each client.
        varies: whether the time of a transfer depends on when it begins.
    """

    varies = False

    def __init__(self, link: spec.Link, name: str, streams: Streams) -> None:
        self._spec = link
        self._name = name
        self._key = f"clients.network.{name}"
        self._streams = streams
        self._free = link.bandwidth is None and link.latency.constant == 0
        self.steady = link.jitter.constant == 1 and link.loss == 0
        self._jitter_of = drawer(link.jitter, streams, f"network.{name}.jitter")
        self.per_task = [] if link.jitter.constant is not None else [f"network.{name}.jitter"]
        self.per_task += [f"network.{name}.loss"] if link.loss else []
        terms = {"latency": link.latency, "bandwidth": link.bandwidth}
        self.per_client = [
            f"network.{name}.{term}"
            for term, law in terms.items()
            if law is not None and law.constant is None
        ]
        self._latency_of = drawer(link.latency, streams, f"network.{name}.latency")
        self._bandwidth_of = (
            None
            if link.bandwidth is None
            else drawer(link.bandwidth, streams, f"network.{name}.bandwidth")
        )
        self._alike = not self.per_client  # so that any client stands for all
        self._kept: dict[int, tuple[float, float]] = {}  # the terms of some clients
        self._usual_us: dict[int, int] = {}  # of all clients, by size, where they are alike

    def transfer(self, client: int, number: int, size: int) -> tuple[int, int]:
        """Microseconds and bytes of the transfer of ``size`` bytes for a client's task.

        0 microseconds: the transfer takes no time.
        """
        if self.steady:
            if self._free:
                return 0, size
            return self._steady_us(client, size), size
        attempts = self._attempts(client, number)
        if self._free or self._spec.jitter.constant == 0:
            return 0, attempts * size
        factor = self._jitter_of(client, number)
        seconds = self._seconds(client, size) * factor * attempts
        return to_microseconds(seconds, self._key), attempts * size

    def transfers(self, clients: Ints, numbers: Ints, size: int) -> tuple[Ints, Ints]:
        """`transfer` for many tasks at once; -1 where it may raise an error."""
        attempts = np.ones(len(clients), dtype=np.int64)
        if self._spec.loss:
            us = self._streams.uniforms(f"network.{self._name}.loss", clients, numbers).tolist()
            of_loss = math.log(self._spec.loss)
            attempts += np.array([int(math.log(u) / of_loss) for u in us])
        sizes = np.where(attempts < CLOCK_END // max(size, 1), attempts * size, -1)
        if self._free or self._spec.jitter.constant == 0:
            return np.zeros_like(sizes), sizes
        prefix = f"network.{self._name}"
        seconds = draws(self._spec.latency, self._streams, f"{prefix}.latency", clients)
        if self._spec.bandwidth is not None:
            bandwidth = draws(self._spec.bandwidth, self._streams, f"{prefix}.bandwidth", clients)
            seconds = seconds + size * (1.0 / bandwidth)
        jitter = draws(self._spec.jitter, self._streams, f"{prefix}.jitter", clients, numbers)
        return all_to_microseconds(seconds * jitter * attempts), sizes

    def expected_seconds(self, client: int, size: int) -> float:
        """The mean time of a transfer of ``size`` bytes, repetitions included."""
        jitter = self._spec.jitter.mean(client)
        return self._seconds(client, size) * jitter / (1 - self._spec.loss)

    def usual_seconds(self, client: int, size: int) -> float:
        """The time of a transfer of ``size`` bytes with the median of the jitter."""
        return self._seconds(client, size) * self._spec.jitter.quantile(0.5, client)

    def _seconds(self, client: int, size: int) -> float:
        latency, per_byte = self._terms(client)
        return latency + size * per_byte

    def _steady_us(self, client: int, size: int) -> int:
        if self._alike and size in self._usual_us:
            return self._usual_us[size]
        found = to_microseconds(self._seconds(client, size), self._key)
        if self._alike:
            self._usual_us[size] = found
        return found

    def _attempts(self, client: int, number: int) -> int:
        """1 + the number of losses, P(more than k) = loss ** k."""
        loss = self._spec.loss
        if loss == 0:
            return 1
        u = self._streams.uniform(f"network.{self._name}.loss", client, number)
        return 1 + int(math.log(u) / math.log(loss))

    def _terms(self, client: int) -> tuple[float, float]:
        """The client's latency in seconds, and seconds for each byte."""
        terms = self._kept.get(client)
        if terms is None:
            bandwidth = self._bandwidth_of
            per_byte = 0.0 if bandwidth is None else 1.0 / bandwidth(client, 0)
            terms = self._latency_of(client, 0), per_byte
            if len(self._kept) >= _CLIENTS_KEPT:
                self._kept.clear()
            self._kept[client] = terms
        return terms


class ServerLink:
    """The server's own link in one direction.

    Args:
        env: the SimPy environment.
        link: its bandwidth and discipline.
        name: ``"download"`` or ``"upload"``, the link's key in the scenario.
        streams: the run's random streams.

    Attributes:
        queue: where transfers contend; None where each has the link to itself.
        steady: whether all transfers take the same work.
    """

    def __init__(
        self, env: simpy.Environment, link: spec.ServerLink, name: str, streams: Streams
    ) -> None:
        self._bandwidth = link.bandwidth
        self._jitter = link.jitter
        self._name = name
        self._streams = streams
        self._capacity: Capacity | None = None
        pace = None
        if not isinstance(link, spec.UncontendedLink) and link.bandwidth_trace is not None:
            row, phase_us = drawn_link(link.bandwidth_trace, streams, f"server.{name}.trace")
            self._capacity = capacity_of(link.bandwidth_trace, row)
            self._bandwidth = self._capacity.mean_rate
            pace = Pace(self._capacity, phase_us)
        self.steady = self._bandwidth is None or link.jitter.constant in (0, 1)
        self.queue: Link | None = None
        if isinstance(link, spec.FifoLink):
            self.queue = FifoLink(env, link.slots, pace)
        elif isinstance(link, spec.SharedLink):
            self.queue = SharedLink(env, pace)

    def work(self, client: int, number: int, size: int) -> int:
        """Microseconds that ``size`` bytes would take alone; 0 is no time.

        If the bandwidth changes in time, at its mean.
        """
        if self._bandwidth is None or self._jitter.constant == 0:
            return 0
        seconds = size / self._bandwidth
        if self._jitter.constant != 1:
            purpose = f"server.{self._name}.jitter"
            seconds *= draw(self._jitter, self._streams, purpose, client, number)
        return to_microseconds(seconds, f"server.{self._name}")

    def works(self, clients: Ints, numbers: Ints, size: int) -> Ints:
        """`work` for many tasks at once; see `all_to_microseconds` for -1."""
        if self._bandwidth is None or self._jitter.constant == 0:
            return np.zeros(len(clients), dtype=np.int64)
        purpose = f"server.{self._name}.jitter"
        jitter = draws(self._jitter, self._streams, purpose, clients, numbers)
        return all_to_microseconds(size / self._bandwidth * jitter)

    def expected_seconds(self, client: int, size: int) -> float:
        """The mean time of a transfer that is alone on the link.

        If the bandwidth changes in time, that of one that begins at a uniform time, with the mean
        jitter.
        """
        return self._alone(size, self._jitter.mean(client))

    def usual_seconds(self, client: int, size: int) -> float:
        """The time of a transfer that is alone on the link, with the median of the jitter."""
        return self._alone(size, self._jitter.quantile(0.5, client))

    def _alone(self, size: int, jitter: float) -> float:
        if self._bandwidth is None:
            return 0.0
        if self._capacity is not None and 0 < jitter < math.inf:
            return self._capacity.mean_seconds(size * jitter)
        return size / self._bandwidth * jitter
