"""Clients' own links whose bandwidth follows a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.sections.network import Link, Network
from afl_sim.scenario.traces.bandwidth_trace import BandwidthTrace
from afl_sim.streams import Streams
from afl_sim.world.links.capacity import FRACTION, Capacity
from afl_sim.world.links.course import Course
from afl_sim.world.links.network import ClientLink
from afl_sim.world.links.traced import NOTHING, TracedLinks, capacity_of, traced_links
from afl_sim.world.microseconds import MICROSECONDS, to_microseconds

_KEPT = 1 << 10  # links whose integrals are kept; bounded: a trace can have many rows
_PLACES_KEPT = 1 << 14


class VaryingLink(ClientLink):
    """Every client's own path in one direction, with a bandwidth that changes in time.

    An attempt takes ``latency * jitter`` seconds, and then as long as the link needs to carry
    ``bytes * jitter``. A transfer that is lost is repeated at once.

    Args:
        link: latency in seconds, and the trace of the bandwidth.
        name: ``"download"`` or ``"upload"``, the link's key in the scenario.
        streams: the run's random streams.
        traced: which link of the trace each client has, and where it begins.
    """

    varies = True

    def __init__(
        self,
        link: Link,
        name: str,
        streams: Streams,
        traced: TracedLinks,
    ) -> None:
        super().__init__(link, name, streams)
        self._trace: BandwidthTrace = traced.trace
        self._capacity = lru_cache(_KEPT)(self._build)
        self._mean = lru_cache(_PLACES_KEPT)(self._mean_of_row)
        self._position = lru_cache(_PLACES_KEPT)(traced.position)

    def position(self, client: int) -> tuple[int, int]:
        """The link of the trace that a client has, and the client's position in it at the start.

        Returns:
            the link's index, and microseconds.
        """
        return self._position(client)

    def course(
        self, client: int, number: int, size: int, before_us: int = 0, after_us: int = 0
    ) -> tuple[Course, int]:
        """The course of a transfer of ``size`` bytes for a client's task, and its bytes.

        Args:
            client: the client's index.
            number: of the task.
            size: bytes.
            before_us, after_us: fixed times on the server's link, before and after this one.
        """
        attempts = self._attempts(client, number)
        factor = draw(
            self._spec.jitter, self._streams, f"network.{self._name}.jitter", client, number
        )
        seconds = self._terms(client)[0] * factor
        to_microseconds(seconds, self._key)  # refuses a number that is not a duration
        latency = int(seconds * MICROSECONDS * (1 << FRACTION))
        amount = self._capacity(self._position(client)[0]).amount(size * factor)
        course = Course(
            before_us << FRACTION,
            latency,
            amount,
            attempts - 1,
            latency,
            amount,
            after_us << FRACTION,
        )
        return course, attempts * size

    def end_of_transfer(self, client: int, begin_us: int, course: Course) -> int:
        """The microsecond in which a transfer is over that goes on at ``begin_us``.

        It takes at least one, unless it takes no time at all.

        Raises:
            ScenarioError: it is lost too often.
        """
        row, phase_us = self._position(client)
        begin = begin_us + phase_us << FRACTION
        ticks = course.end(self._capacity(row), begin) - begin
        if not ticks and self._spec.jitter.constant == 0:
            return begin_us
        return begin_us + (_rounded(ticks) or 1)

    def left(self, client: int, begin_us: int, course: Course, now_us: int) -> Course:
        """What is left at ``now_us`` of a transfer that went on at ``begin_us``."""
        row, phase_us = self._position(client)
        begin, now = begin_us + phase_us << FRACTION, now_us + phase_us << FRACTION
        return course.left(self._capacity(row), begin, now)

    def expected_seconds(self, client: int, size: int) -> float:
        """The mean time of a transfer of ``size`` bytes that begins at a uniform time.

        Repetitions are included. With a jitter that varies, it is the time with the mean jitter.
        """
        jitter = self._spec.jitter.mean(client)
        return self._usual(client, size, jitter) / (1 - self._spec.loss)

    def usual_seconds(self, client: int, size: int) -> float:
        """The mean time of a transfer of ``size`` bytes with the median of the jitter."""
        return self._usual(client, size, self._spec.jitter.quantile(0.5, client))

    def _usual(self, client: int, size: int, jitter: float) -> float:
        if not jitter < float("inf"):
            return jitter
        return self._terms(client)[0] * jitter + self._mean(
            self._position(client)[0], size * jitter
        )

    def _mean_of_row(self, row: int, size: float) -> float:
        return self._capacity(row).mean_seconds(size) if size else 0.0

    def _build(self, row: int) -> Capacity:
        return capacity_of(self._trace, row)


def _rounded(ticks: int) -> int:
    """Whole microseconds, a half to the even one."""
    whole, rest = divmod(ticks, 1 << FRACTION)
    half = 1 << (FRACTION - 1)
    return whole + (rest > half or (rest == half and whole % 2 == 1))


def client_links(
    network: Network,
    streams: Streams,
    place: Callable[[int], int],
    chosen: Mapping[str, Callable[[int], int]] = NOTHING,
) -> tuple[ClientLink, ClientLink]:
    """The clients' own download and upload links.

    Args:
        network: the links that a scenario describes.
        streams: the run's random streams.
        place: the row of a client where each row is a client.
        chosen: by direction, the link of each client in the trace, where devices say so.
    """
    traced = traced_links(network, streams, place, chosen)
    made = [
        VaryingLink(link, name, streams, traced[name])
        if name in traced
        else ClientLink(link, name, streams)
        for name, link in (("download", network.download), ("upload", network.upload))
    ]
    return made[0], made[1]
