"""Bandwidth logs: those of HSDPA and 4G, Pensieve's, the FCC's, and tables of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from afl_sim.errors import InputError
from afl_sim.importers.columns import factor_of, named, one_table
from afl_sim.importers.imported import Imported
from afl_sim.importers.kinds import sources_of
from afl_sim.importers.links import Direction, Gaps, LinkBuilder, imported_links, names_of
from afl_sim.importers.reading import Source
from afl_sim.importers.times import Times
from afl_sim.scenario.section import LONGEST_SECONDS
from afl_sim.scenario.traces.instants import instant_of
from afl_sim.scenario.units import RATE
from afl_sim.scenario.wording import show

_MS: Final = 1000  # microseconds
_LONGEST_MS: Final = LONGEST_SECONDS * 1e3
_SLACK_MS: Final = 50.0  # by which the two clocks of a log may differ


def import_hsdpa(
    paths: Sequence[Path], direction: Direction = "auto", gaps: Gaps = "error"
) -> Imported:
    """Logs of six columns, as those of HSDPA in Norway and of 4G in Belgium.

    The columns are the time of day, milliseconds since the start, latitude, longitude, bytes since
    the line before and milliseconds since then.

    Args:
        paths: a link each.
        direction: which of a client's links they are.
        gaps: what times without a measurement are.

    Raises:
        InputError: a file is no such log, or has gaps and may have none.
    """
    names = ("the time of day", "the time", "", "", "the number of bytes", "the duration")

    def read(source: Source, link: LinkBuilder) -> None:
        for line, text in source.lines():
            cells = text.split()
            if len(cells) != len(names):
                source.wrong(line, f"{len(cells)} columns; expected {len(names)}")
                continue
            row = source.numbers(line, cells, names)
            if row is None:
                continue
            _, time, _, _, size, lasts = row
            if time > _LONGEST_MS or lasts > time:
                source.wrong(line, f"lasts {lasts:g} ms until {time:g} ms; expected less")
            elif not lasts:
                source.drop("measurements that last no time")
            else:
                _add_measurement(link, line, (time - lasts) * _MS, time * _MS, size)

    return _import(paths, "hsdpa", direction, gaps, read)


def _add_measurement(
    link: LinkBuilder, line: int, start_us: float, end_us: float, size: float
) -> None:
    """Bytes that came in a time; it may begin a little after or before the one before ended."""
    start, end, last = round(start_us), round(end_us), link.end_us
    if last is not None and abs(start - last) <= _SLACK_MS * _MS:
        start = last
    if end > start:
        link.add(line, start, end, size / (end - start) * 1e6)
    else:
        link.source.drop("measurements that last no time")


def import_pensieve(
    paths: Sequence[Path], direction: Direction = "auto", gaps: Gaps = "error"
) -> Imported:
    """Traces of two columns, as Pensieve's: seconds, and Mbit/s since the line before.

    Args:
        paths: a link each.
        direction: which of a client's links they are.
        gaps: not used; such a trace has no gaps.

    Raises:
        InputError: a file is no such trace.
    """

    def read(source: Source, link: LinkBuilder) -> None:
        before: float | None = None
        for line, text in source.lines():
            cells = text.split()
            if len(cells) != 2:
                source.wrong(line, f"{len(cells)} columns; expected 2: seconds and Mbit/s")
                continue
            row = source.numbers(line, cells, ("the time", "the bandwidth"))
            if row is None:
                continue
            time, rate = row
            if time > LONGEST_SECONDS:
                source.wrong(line, f"{time:g} s; expected at most {LONGEST_SECONDS:g} s")
            elif before is not None and round(time * 1e6) <= round(before * 1e6):
                source.wrong(line, f"{time:g} s comes after {before:g} s; expected times that rise")
            elif before is not None:
                link.add(line, round(before * 1e6), round(time * 1e6), rate * 125_000)
            before = time if before is None else max(before, time)

    return _import(paths, "pensieve", direction, gaps, read)


def _import(
    paths: Sequence[Path],
    kind: str,
    direction: Direction,
    gaps: Gaps,
    read: Callable[[Source, LinkBuilder], None],
) -> Imported:
    """One link from each file."""
    sources = sources_of(kind, paths)
    names = names_of(sources)
    links = []
    for source in sources:
        links.append(LinkBuilder(source, names[source.path], gaps))
        read(source, links[-1])
        source.refuse_mistakes()
        if not links[-1].pieces:
            raise InputError(f"{source.path}: no measurement that lasts; expected some")
    return imported_links(links, direction, sources, _files(sources))


def import_fcc(
    paths: Sequence[Path], direction: Direction = "auto", step: float | None = None
) -> Imported:
    """Tables of the FCC's Measuring Broadband America, such as ``curr_httpgetmt``.

    Each row has a unit, a date and time, and the bytes per second in its seventh column. The files
    have a header or none. Each unit is a link.

    Args:
        paths: tables; a unit may be in several.
        direction: which of a client's links they are.
        step: how long each measurement lasts (seconds), one after the other. None: until the
            unit's next one, and the last one as long as the one before it.

    Raises:
        InputError: a file is no such table.
    """
    sources = sources_of("fcc", paths)
    measured: dict[str, list[tuple[int, float, int, Source]]] = {}
    for source in sources:
        _read_fcc(source, measured)
        source.refuse_mistakes()
    links = []
    for unit in sorted(measured, key=_by_number):
        rows = sorted(measured[unit], key=lambda row: row[0])
        if len(rows) < 2 and step is None:
            rows[0][3].drop("units with one measurement")
            continue
        links.append(_fcc_link(unit, rows, step))
    if not links:
        raise InputError(
            f"{sources[0].path}: no unit has two measurements; expected more, or --step, which "
            "says how long one lasts"
        )
    return imported_links(links, direction, sources, _files(sources))


def _read_fcc(source: Source, measured: dict[str, list[tuple[int, float, int, Source]]]) -> None:
    places = (0, 1, 6)
    for line, cells in source.rows():
        if {"unit_id", "dtime", "bytes_sec"} <= set(cells):
            places = (cells.index("unit_id"), cells.index("dtime"), cells.index("bytes_sec"))
            continue
        if len(cells) <= max(places):
            source.wrong(line, f"{len(cells)} columns; expected at least {max(places) + 1}")
            continue
        unit, time, rate = (cells[place] for place in places)
        instant = instant_of(time)
        row = source.numbers(line, [rate], ["bytes_sec"])
        if instant is None:
            source.wrong(
                line, f"dtime is {show(time)}; expected a date and time such as 2016-06-01 12:30:00"
            )
        elif row is not None and not unit:
            source.wrong(line, "unit_id is empty; expected the number of a unit")
        elif row is not None and not row[0]:
            source.drop("measurements of 0 bytes per second, which failed")
        elif row is not None:
            measured.setdefault(unit, []).append((instant.us, row[0], line, source))


def _fcc_link(
    unit: str, rows: Sequence[tuple[int, float, int, Source]], step: float | None
) -> LinkBuilder:
    link = LinkBuilder(rows[0][3], f"unit-{unit}")
    if step is not None:
        lasts = round(step * 1e6)
        for place, (_, rate, line, _) in enumerate(rows):
            link.add(line, place * lasts, (place + 1) * lasts, rate)
        return link
    times = [row[0] for row in rows]
    times.append(times[-1] + (times[-1] - times[-2] or 1))
    for (start, rate, line, source), end in zip(rows, times[1:], strict=True):
        if end > start:
            link.add(line, start, end, rate)
        else:
            source.drop("measurements at the same second as another of their unit")
    return link


def _by_number(unit: str) -> tuple[int, str]:
    return (int(unit), "") if unit.isascii() and unit.isdecimal() else (-1, unit)


_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": ("time", "timestamp", "t", "start", "when"),
    "link": ("link", "client", "client_id", "device", "device_id", "user", "user_id"),
    "bandwidth": ("bandwidth", "throughput", "rate", "speed"),
}


def import_bandwidth(
    paths: Sequence[Path],
    columns: Mapping[str, Sequence[str]],
    unit: float | None = None,
    direction: Direction = "auto",
) -> Imported:
    """Tables with a header row, a time and a bandwidth, which lasts until the next row.

    The last bandwidth of a link lasts as long as the one before it. A column may tell the rows of
    several links apart; else each file is a link.

    Args:
        paths: the tables.
        columns: for time, link and bandwidth the names that they may have beside the usual ones.
        unit: of the bandwidths (bytes per second); None: as the name of the column says.
        direction: which of a client's links they are.

    Raises:
        InputError: a file is no such table, or its times are not in order.
    """
    sources = sources_of("bandwidth", paths)
    names = names_of(sources)
    measured: dict[tuple[Path, str], list[tuple[int, float, int]]] = {}
    times, of = Times(), {source.path: source for source in sources}
    for source in sources:
        _read_bandwidths(source, columns, unit, times, measured)
        source.refuse_mistakes()
    links = []
    for (path, name), rows in measured.items():
        if len(rows) < 2:
            of[path].drop("links with one measurement")
            continue
        links.append(LinkBuilder(of[path], name or names[path]))
        ends = [row[0] for row in rows[1:]]
        ends.append(2 * ends[-1] - rows[-2][0])
        for (start, rate, line), end in zip(rows, ends, strict=True):
            links[-1].add(line, start, end, rate)
    if not links:
        raise InputError(f"{sources[0].path}: no link has two measurements; expected more")
    return imported_links(links, direction, sources, _files(sources))


def _read_bandwidths(
    source: Source,
    columns: Mapping[str, Sequence[str]],
    unit: float | None,
    times: Times,
    measured: dict[tuple[Path, str], list[tuple[int, float, int]]],
) -> None:
    header, table = one_table(source)
    rates = [name for name in header if RATE.of_column(name) is not None]
    given = dict(columns)
    if "bandwidth" not in given and len(rates) == 1:
        given["bandwidth"] = rates  # its unit tells what it is
    places = named(source, header, _NAMES, given, ("time", "bandwidth"))
    what, when = header[places["bandwidth"]], header[places["time"]]
    factor = unit or factor_of(source, what, RATE, f"--column bandwidth={what}:UNIT") or 1.0
    for line, cells in table:
        time = times.read(source, line, when, cells[places["time"]])
        rate = source.numbers(line, [cells[places["bandwidth"]]], [what])
        if time is None or rate is None:
            continue
        name = cells[places["link"]] if "link" in places else ""
        rows = measured.setdefault((source.path, name), [])
        if rows and round(time * 1e6) <= rows[-1][0]:
            source.wrong(
                line,
                f"{when} {cells[places['time']]} is not after that of line {rows[-1][2]}; expected "
                "the rows of a link in the order of time",
            )
            continue
        rows.append((round(time * 1e6), rate[0] * factor, line))


def _files(sources: Sequence[Source]) -> str:
    return f"{len(sources)} file{'' if len(sources) == 1 else 's'}"
