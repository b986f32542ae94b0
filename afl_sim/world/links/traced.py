"""Links of a trace of bandwidth: which one a client has, and what it carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from afl_sim.scenario.sections.network import Network
from afl_sim.scenario.traces.bandwidth_trace import BandwidthTrace
from afl_sim.streams import Streams
from afl_sim.world.links.capacity import Capacity

NOTHING: Final[dict[str, Callable[[int], int]]] = {}


class TracedLinks:
    """Which link of a trace each client has, in one direction.

    Args:
        trace: the links.
        streams: the run's random streams.
        purpose: names the streams from which a client's link and its position in it are drawn.
        row: the index of a client's link, where it is known; None: it is drawn.
    """

    def __init__(
        self,
        trace: BandwidthTrace,
        streams: Streams,
        purpose: str,
        row: Callable[[int], int] | None,
    ) -> None:
        self.trace = trace
        self._streams = streams
        self._purpose = purpose
        self._row = row

    def position(self, client: int) -> tuple[int, int]:
        """The index of the client's link, and its position in it at the start (microseconds)."""
        row = None if self._row is None else self._row(client)
        return drawn_link(self.trace, self._streams, self._purpose, client, row)


def traced_links(
    network: Network,
    streams: Streams,
    place: Callable[[int], int],
    chosen: Mapping[str, Callable[[int], int]] = NOTHING,
) -> dict[str, TracedLinks]:
    """The links whose bandwidth follows a trace, by direction.

    Where the traces of both directions have links of the same names, they are drawn together: a
    client has the same link in both, and begins at the same share of its length.

    Args:
        network: the links that a scenario describes.
        streams: the run's random streams.
        place: the row of a client where each row is a client.
        chosen: by direction, the link of each client in the trace, where devices say so.
    """
    traces = {
        "download": network.download.bandwidth_trace,
        "upload": network.upload.bandwidth_trace,
    }
    down, up = traces.values()
    together = down is not None and up is not None and _names(down) == _names(up)
    found: dict[str, TracedLinks] = {}
    for name, trace in traces.items():
        if trace is not None:
            row = chosen.get(name, place if trace.by == "client" else None)
            purpose = "network.trace" if together else f"network.{name}.trace"
            found[name] = TracedLinks(trace, streams, purpose, row)
    return found


def _names(trace: BandwidthTrace) -> list[str | None]:
    return [link.name for link in trace.links]


def drawn_link(
    trace: BandwidthTrace, streams: Streams, purpose: str, client: int = 0, row: int | None = None
) -> tuple[int, int]:
    """The index of a link, and the position in it at the start of the run (microseconds).

    Args:
        trace: the links.
        streams: the run's random streams.
        purpose: names the streams of both draws.
        client: whose link it is.
        row: the index of the link, where it is known; None: it is drawn.
    """
    count, phase_us = len(trace.links), 0
    if row is None:
        row = int(streams.uniform(purpose, client) * count) if count > 1 else 0
    if trace.random_start:
        u = streams.uniform(f"{purpose}.start", client)
        phase_us = int(u * trace.links[row].ends_us[-1])
    return row, phase_us


def capacity_of(trace: BandwidthTrace, row: int) -> Capacity:
    """What a link of the trace carries."""
    link = trace.links[row]
    return Capacity(link.ends_us, link.rates, trace.after_end == "repeat")
