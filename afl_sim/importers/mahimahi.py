"""Mahimahi's traces of packet deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from afl_sim.errors import InputError
from afl_sim.importers.imported import Imported
from afl_sim.importers.kinds import sources_of
from afl_sim.importers.links import Direction, LinkBuilder, imported_links, names_of
from afl_sim.importers.reading import Source
from afl_sim.scenario.section import LONGEST_SECONDS
from afl_sim.scenario.wording import show

PACKET_BYTES: Final = 1500
"""What may pass at one line of a trace."""
_MS: Final = 1000  # microseconds
_LONGEST_MS: Final = LONGEST_SECONDS * 1e3


def import_mahimahi(paths: Sequence[Path], direction: Direction = "auto") -> Imported:
    """Traces of packet deliveries: each line is a millisecond at which 1500 bytes may pass.

    The packets of millisecond t pass evenly between t - 1 and t. So at every whole millisecond the
    integral of the bandwidth is what Mahimahi has delivered by then. A trace repeats after its last
    line, as in Mahimahi, where a packet of millisecond 0 comes with those of the last one.

    Args:
        paths: a link each.
        direction: which of a client's links they are.

    Raises:
        InputError: a file is no such trace.
    """
    sources = sources_of("mahimahi", paths)
    names = names_of(sources)
    found, packets = [], 0
    for source in sources:
        times = _packet_times(source)
        if not times or not times[-1]:
            source.refuse_mistakes()
            raise InputError(
                f"{source.path}: all packets are at millisecond 0; expected a trace that lasts"
            )
        link = LinkBuilder(source, names[source.path])
        counts: dict[int, int] = {}
        for time in times:
            time = time or times[-1]
            counts[time] = counts.get(time, 0) + 1
        packets += len(times)
        done = 0
        for time in sorted(counts):
            if time - 1 > done:
                link.add(0, done * _MS, (time - 1) * _MS, 0.0)
            link.add(0, (time - 1) * _MS, time * _MS, counts[time] * PACKET_BYTES * 1000.0)
            done = time
        found.append(link)
    return imported_links(found, direction, sources, f"{packets:,} packets")


def _packet_times(source: Source) -> list[int]:
    """Milliseconds that never fall."""
    times: list[int] = []
    for line, text in source.lines():
        if not (text.isascii() and text.isdecimal() and len(text) <= 16):
            source.wrong(line, f"got {show(text)}; expected a whole number of milliseconds")
        elif int(text) > _LONGEST_MS:
            source.wrong(line, f"got {text} ms; expected at most {_LONGEST_MS:g} ms")
        elif times and int(text) < times[-1]:
            source.wrong(line, f"{text} comes after {times[-1]}; expected times that never fall")
        else:
            times.append(int(text))
    return times
