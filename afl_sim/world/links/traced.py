"""Links of a trace of bandwidth: which one is drawn, and what it carries."""

from __future__ import annotations

from afl_sim.scenario.traces.bandwidth_trace import BandwidthTrace
from afl_sim.streams import Streams
from afl_sim.world.links.capacity import Capacity


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
