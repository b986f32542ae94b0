"""The server's links that transfers contend for: what they offer, and what they carried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from afl_sim.analysis.transfers import DIRECTIONS, transfer_batches
from afl_sim.errors import RunFolderError
from afl_sim.recording import Run
from afl_sim.scenario.sections.network import FifoLink, ServerLink, SharedLink
from afl_sim.scenario.traces.bandwidth_trace import BandwidthTrace
from afl_sim.streams import Streams
from afl_sim.world.links.traced import drawn_link
from afl_sim.world.microseconds import MICROSECONDS

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def contended_ways(run: Run) -> list[str]:
    """The directions in which transfers contend for the server's link."""
    return [way for way in DIRECTIONS if _block(run, way).get("kind", "") in ("fifo", "shared")]


def is_traced(run: Run, way: str) -> bool:
    """Whether the bandwidth of the server's link follows a trace.

    Raises:
        RunFolderError: the trace is no longer there.
    """
    return _link(run, way).bandwidth_trace is not None


def offered_by_server(run: Run, way: str, seconds: Floats) -> Floats:
    """The bandwidth of the server's link, of all its slots together (bytes per second).

    Args:
        run: has transfers that contend for the link.
        way: download or upload.
        seconds: instants, shape (n,).

    Raises:
        RunFolderError: its trace is no longer there.
    """
    link = _link(run, way)
    slots = link.slots if isinstance(link, FifoLink) else 1
    trace = link.bandwidth_trace
    if trace is None:
        assert link.bandwidth is not None
        return np.full(len(seconds), slots * link.bandwidth)
    row, phase_us = drawn_link(trace, Streams(run.scenario["seed"]), f"server.{way}.trace")
    instants = (seconds * MICROSECONDS).astype(np.int64)
    return slots * rates_of(trace, row, instants + phase_us)


def rates_of(trace: BandwidthTrace, row: int, instants: npt.NDArray[np.int64]) -> Floats:
    """The bandwidth of a link of the trace at some microseconds (bytes per second)."""
    link = trace.links[row]
    ends = np.asarray(link.ends_us, dtype=np.int64)
    if trace.after_end == "repeat":
        instants = instants % ends[-1]
    piece = np.minimum(np.searchsorted(ends, instants, side="right"), len(ends) - 1)
    return np.asarray(link.rates, dtype=np.float64)[piece]


def carried_by_server(run: Run, way: str, edges: Floats) -> Floats:
    """What the server's link moved in each span (bytes per second), shape (spans,).

    A transfer moves its bytes evenly over its time there, in which it may have to wait.
    """
    moved = np.zeros(len(edges))
    for table in transfer_batches(run):
        mine = table[(table["direction"] == way) & (table["link_end"] > table["link_begin"])]
        begin, end = mine["link_begin"].to_numpy(), mine["link_end"].to_numpy()
        rate = mine["bytes"].to_numpy() / (end - begin)
        moved += until(edges, begin, rate) - until(edges, end, rate)
    found: Floats = np.diff(moved) / np.diff(edges)
    return found


def until(edges: Floats, times: Floats, weights: Floats) -> Floats:
    """At each edge, the sum over earlier times of the weight times how long ago that was."""
    first = np.searchsorted(edges, times, side="left")
    size = len(edges) + 1
    slope, at = (
        np.cumsum(np.bincount(first, weights=each, minlength=size))[: len(edges)]
        for each in (weights, weights * times)
    )
    total: Floats = slope * edges - at
    return total


def _block(run: Run, way: str) -> dict[str, Any]:
    link = (run.scenario.get("server") or {}).get(way)
    return link if isinstance(link, dict) else {}


def _link(run: Run, way: str) -> FifoLink | SharedLink:
    try:
        link = TypeAdapter(ServerLink).validate_python(_block(run, way))
    except ValidationError as error:  # a trace that is no longer there
        first = error.errors()[0]["msg"]
        raise RunFolderError(
            f"{run.path}: its server's links cannot be read again: {first}"
        ) from None
    assert isinstance(link, FifoLink | SharedLink)
    return link
