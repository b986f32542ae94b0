"""Transfers between clients and server, and how many are under way at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import pandas as pd

from afl_sim.recording import Run
from afl_sim.recording.columns import columns_of
from afl_sim.recording.files import writing
from afl_sim.recording.ordering import stable_order
from afl_sim.recording.tasks import task_batches

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from afl_sim.recording.columns import Column, Columns

    Floats = npt.NDArray[np.float64]

DIRECTIONS: Final = ("download", "upload")
_NEEDED: Final = ("time_us", "kind", "client", "task", "version", "staleness", "bytes")
_LINK: Final = r'"link_us": (?P<us>\d+)'
_MICRO: Final = 1e6
_IN_MEMORY: Final = 1 << 24  # bytes of moments; more are in a file


def transfer_batches(run: Run, instant: bool = False) -> Iterator[pd.DataFrame]:
    """Transfers that took time, a row each, part by part.

    Args:
        run: the run.
        instant: whether those that took no time are there, too, as on a link without limits.

    Columns: ``direction`` (download, upload), ``begin`` and ``end`` (s), ``bytes``, and of the part
    that they spent on the server's link, waiting included, ``link_begin`` and ``link_end`` (s). Of
    an upload that was lost and repeated that is the last time. Those under way when the run ended
    are left out: they have no end.
    """
    least_us = 0 if instant else 1
    for tasks in task_batches(_with_links(run)):
        down = (tasks["dispatched"], tasks["downloaded"], tasks["down_bytes"])
        came = tasks["fresh_bytes"] > 0  # else there was no newer model, or it was given up
        asked = np.where(came, tasks["requested"], -1)
        fresh = (asked, tasks["refreshed"], tasks["fresh_bytes"])
        up = (tasks["computed"], tasks["arrived"], tasks["up_bytes"])
        parts = [
            _transfers(least_us, "download", *down, None, tasks["down_link_us"]),
            _transfers(least_us, "download", *fresh, None, tasks["fresh_link_us"]),
            _transfers(least_us, "upload", *up, tasks["up_link_us"], None),
        ]
        yield pd.concat(parts, ignore_index=True)


def _with_links(run: Run) -> Iterator[Columns]:
    for table in run.event_tables(*_NEEDED, "context"):
        yield {**columns_of(table, _NEEDED), "link_us": _link_us(table.column("context"))}


def _link_us(contexts: pa.ChunkedArray) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    found = np.full(len(contexts), -1, dtype=np.int64)
    told = np.flatnonzero(contexts.is_valid().to_numpy())
    if len(told):
        parts = pc.extract_regex(contexts.drop_null(), pattern=_LINK)
        numbers = pc.struct_field(parts, "us").cast(pa.int64())
        found[told] = numbers.fill_null(-1).to_numpy()
    return found


def _transfers(
    least_us: int,
    direction: str,
    begin: Column,
    end: Column,
    size: Column,
    link_begin: Column | None,
    link_end: Column | None,
) -> pd.DataFrame:
    rows = np.flatnonzero((begin >= 0) & (end >= begin + least_us))
    # Without a path of the client's own the link is all of the way.
    edges = [
        known if link is None else np.where(link >= 0, link, known)
        for known, link in ((begin, link_begin), (end, link_end))
    ]
    columns = (begin, end, *edges)
    names = ("begin", "end", "link_begin", "link_end")
    return pd.DataFrame(
        {
            "direction": direction,
            **{name: column[rows] / _MICRO for name, column in zip(names, columns, strict=True)},
            "bytes": size[rows].astype(np.float64),
        }
    )


class Occupancy:
    """How many spans are under way in each bin of time, as spans are added part by part.

    A ``with`` block lets go of the file in which the moments of very many spans wait.

    Args:
        edges: of the bins (s).
        clipped: whether `mean` will be asked for ``least`` or ``most``; moments are kept for it.
    """

    def __init__(self, edges: Floats, clipped: bool = False) -> None:
        self._edges = edges
        self._begun = np.zeros(len(edges), dtype=np.int64)  # before each edge
        self._over = np.zeros(len(edges), dtype=np.int64)
        self._inside = np.zeros(len(edges) - 1)  # seconds within the bin where a span begins
        self._moments = _Moments(len(edges) - 1) if clipped else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._moments is not None:
            self._moments.close()

    def add(self, begin: Floats, end: Floats) -> None:
        """Take further spans (s)."""
        for moments, before, sign in ((begin, self._begun, 1), (end, self._over, -1)):
            place = np.searchsorted(self._edges, moments, side="right") - 1  # -1: before all bins
            counts = np.bincount(place + 1, minlength=len(self._edges) + 1)
            before += np.cumsum(counts[:-1])
            inside = (place >= 0) & (place < len(self._inside))
            bins, moments = place[inside], moments[inside]
            left = self._edges[bins + 1] - moments
            self._inside += sign * np.bincount(bins, weights=left, minlength=len(self._inside))
            if self._moments is not None:
                self._moments.add(bins, moments, sign)

    def mean(self, least: int = 0, most: float = np.inf) -> Floats:
        """How many of the spans are under way, on average over time, in each bin.

        Args:
            least: count only those beyond so many: a line behind that many servers.
            most: count no more than so many: that many servers at work.
        """
        widths = np.diff(self._edges)
        at_edge = self._begun - self._over
        if least == 0 and most == np.inf:
            found: Floats = at_edge[:-1] + self._inside / widths
            return found
        assert self._moments is not None
        means = np.empty(len(widths))
        for place, low in enumerate(self._edges[:-1]):
            moments, steps = self._moments.of(place)
            counts = at_edge[place] + np.append(0, np.cumsum(steps))
            ends = np.concatenate([[low], moments, [self._edges[place + 1]]])
            area = np.sum(np.diff(ends) * np.clip(counts - least, 0, most))
            means[place] = area / widths[place]
        return means


class _Moments:
    """When spans begin and end, by bin; a file holds them where there are many."""

    def __init__(self, bins: int) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._places: list[list[tuple[int, int]]] = [[] for _ in range(bins)]
        self._end = 0

    def close(self) -> None:
        self._file.close()

    def add(self, bins: Column, moments: Floats, sign: int) -> None:
        order = stable_order(bins)
        packed = np.stack([moments[order], np.full(len(order), float(sign))], axis=1)
        with writing(Path(tempfile.gettempdir())):
            self._file.seek(self._end)
            self._file.write(packed.tobytes())
        for place, count in enumerate(np.bincount(bins).tolist()):
            if not count:
                continue
            self._places[place].append((self._end, 16 * count))
            self._end += 16 * count

    def of(self, place: int) -> tuple[Floats, Floats]:
        """The moments of a bin in order, and whether each is a beginning (1) or an end (-1)."""
        parts = []
        for offset, length in self._places[place]:
            self._file.seek(offset)
            parts.append(self._file.read(length))
        packed = np.frombuffer(b"".join(parts)).reshape(-1, 2)
        packed = packed[np.argsort(packed[:, 0], kind="stable")]
        return packed[:, 0], packed[:, 1]
