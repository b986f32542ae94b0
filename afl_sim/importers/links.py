"""Links whose bandwidth changes in time, built from measurements one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from afl_sim.errors import InputError
from afl_sim.importers.imported import File, Imported, Table, counted, left_out
from afl_sim.importers.reading import Source, seconds_text
from afl_sim.scenario.section import LONGEST_SECONDS
from afl_sim.scenario.traces.bandwidths import SLOWEST
from afl_sim.scenario.wording import exact

Gaps = Literal["error", "zero", "hold"]
"""What a time without a measurement is: a mistake, no bandwidth, or the bandwidth before it."""
Direction = Literal["auto", "download", "upload", "both"]
_HEADER: Final = ("link", "start", "end", "bandwidth")
_SUFFIXES: Final[Mapping[str, Direction]] = {
    ".up": "upload",
    ".uplink": "upload",
    ".down": "download",
    ".downlink": "download",
}


@dataclass
class LinkBuilder:
    """Collects the measurements of one link.

    Attributes:
        source: the file, to which mistakes are added.
        name: of the link.
        gaps: what times without a measurement are.
        pieces: start and end in microseconds, and the bandwidth in bytes per second.
        filled_us: how long all gaps were together.
    """

    source: Source
    name: str
    gaps: Gaps = "error"
    pieces: list[tuple[int, int, float]] = field(default_factory=list)
    filled_us: int = 0
    _line: int = 0
    _origin: int | None = None

    @property
    def end_us(self) -> int | None:
        """Where the last measurement ends, on the clock of the file; None before the first."""
        return None if self._origin is None else self.pieces[-1][1] + self._origin

    def add(self, line: int, start_us: int, end_us: int, rate: float) -> None:
        """Add a measurement; a gap before it is filled or a mistake, an overlap is a mistake."""
        if not rate < math.inf or end_us > LONGEST_SECONDS * 1e6:
            self.source.wrong(
                line,
                f"{rate:g} bytes per second until {end_us / 1e6:g} s; expected a finite bandwidth, "
                f"and times of at most {LONGEST_SECONDS:g} s",
            )
            return
        if self._origin is None:
            self._origin = start_us
        start, end = start_us - self._origin, end_us - self._origin
        last = self.pieces[-1][1] if self.pieces else 0
        if start < last:
            self.source.wrong(
                line,
                f"begins at {seconds_text(start_us)} s, before {seconds_text(last + self._origin)} "
                f"s, where line {self._line} ends; expected measurements in the order of time",
            )
            return
        if start > last:
            self._fill(line, last, start)
        if 0 < rate < SLOWEST:
            rate = 0.0
        self._put(start, end, rate)
        self._line = line

    def _fill(self, line: int, last: int, start: int) -> None:
        if self.gaps == "error":
            assert self._origin is not None
            self.source.wrong(
                line,
                f"a gap of {seconds_text(start - last)} s: line {self._line} ends at "
                f"{seconds_text(last + self._origin)} s, and this one begins at "
                f"{seconds_text(start + self._origin)} s; expected --gaps zero (nothing passes), "
                "--gaps hold (the bandwidth stays), or a file without gaps",
            )
        self.filled_us += start - last
        self._put(last, start, self.pieces[-1][2] if self.gaps == "hold" else 0.0)

    def _put(self, start: int, end: int, rate: float) -> None:
        if self.pieces and self.pieces[-1][2] == rate:
            self.pieces[-1] = (self.pieces[-1][0], end, rate)
        else:
            self.pieces.append((start, end, rate))

    def rows(self) -> Iterable[tuple[str, ...]]:
        """The rows of the table of links."""
        for start, end, rate in self.pieces:
            yield self.name, seconds_text(start), seconds_text(end), exact(rate)


def refuse_useless(links: Sequence[LinkBuilder]) -> list[LinkBuilder]:
    """The links that carry something; the others are left out.

    Raises:
        InputError: there are none.
    """
    useful = []
    for link in links:
        if any(rate for _, _, rate in link.pieces):
            useful.append(link)
        else:
            link.source.drop("links without any bandwidth")
    if not useful:
        raise InputError(
            f"{links[0].source.path}: the bandwidth is always 0; expected a link that carries "
            "something"
        )
    return useful


def imported_links(
    found: Sequence[LinkBuilder], direction: Direction, sources: Sequence[Source], read: str
) -> Imported:
    """The tables and the network of a scenario, for links that were measured.

    Args:
        found: the links.
        direction: which of a client's links they are; auto goes by the suffixes of the files,
            such as ``.up`` and ``.down``, and takes others for both.
        sources: the files.
        read: what was read, for the report.

    Raises:
        InputError: no link carries anything.
    """
    for source in sources:
        source.refuse_mistakes()
    useful = refuse_useless(found)
    groups: dict[Direction, list[LinkBuilder]] = {}
    for link in useful:
        where = _SUFFIXES.get(link.source.path.suffix.lower(), "both")
        groups.setdefault(where if direction == "auto" else direction, []).append(link)
    if len(groups) > 1 and "both" in groups:
        path = groups["both"][0].source.path
        raise InputError(
            f"{path}: the name does not say whether it is a download or an upload, as those of "
            "other files do; expected a name that ends in .down or .up, or --direction"
        )
    tables, network = [], {}
    for where in sorted(groups):
        name = "links" if where == "both" else f"{where}-links"
        rows = [row for link in groups[where] for row in link.rows()]
        tables.append(Table(name, _HEADER, rows))
        block = {"bandwidth_trace": {"trace": File(name), "random_start": True}}
        for each in ("download", "upload") if where == "both" else (where,):
            network[each] = block
    count = max(len(links) for links in groups.values())
    report = [f"{read}: {counted(len(useful), 'link')}", *_lengths(useful)]
    report += left_out(*(source.dropped for source in sources))
    return Imported(tuple(tables), {"network": network}, max(20, count), report=report)


def _lengths(links: Sequence[LinkBuilder]) -> Iterable[str]:
    lengths = [link.pieces[-1][1] for link in links]
    sent = sum((end - start) * rate for link in links for start, end, rate in link.pieces)
    yield (
        f"{seconds_text(min(lengths))} to {seconds_text(max(lengths))} s each, "
        f"{sent / sum(lengths):,.0f} bytes per second on average"
    )
    filled = sum(link.filled_us for link in links)
    if filled:
        yield f"gaps: {seconds_text(filled)} s without a measurement, {links[0].gaps}"


def names_of(sources: Sequence[Source]) -> dict[Path, str]:
    """A name for the link of each file: its stem, or its whole path where two are alike."""
    stems = [source.path.stem for source in sources]
    return {
        source.path: source.path.stem
        if stems.count(source.path.stem) == 1 or _told_apart(source, sources)
        else source.path.as_posix()
        for source in sources
    }


def _told_apart(source: Source, sources: Sequence[Source]) -> bool:
    """Whether files with the same stem are the two directions of one link."""
    alike = [each.path for each in sources if each.path.stem == source.path.stem]
    ways = [_SUFFIXES.get(path.suffix.lower()) for path in alike]
    return None not in ways and len(set(ways)) == len(ways)
