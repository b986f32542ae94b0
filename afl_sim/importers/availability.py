"""Logs of when clients are available: intervals, or changes of state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from afl_sim.errors import InputError
from afl_sim.importers.columns import named, one_table
from afl_sim.importers.imported import File, Imported, Table, counted, left_out
from afl_sim.importers.kinds import sources_of
from afl_sim.importers.reading import Source
from afl_sim.importers.times import Times
from afl_sim.scenario.traces.tables.table import MAX_ROWS
from afl_sim.scenario.wording import exact, hint, show

Interval = tuple[float, float]
"""(start, end) in seconds."""

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "client": ("client", "client_id", "device", "device_id", "user", "user_id", "uid", "id"),
    "start": ("start", "start_time", "begin", "from"),
    "end": ("end", "end_time", "stop", "until", "to"),
    "time": ("time", "timestamp", "t", "when"),
    "state": ("state", "status", "event", "available", "online"),
}
_ON: Final = ("1", "on", "true", "yes", "online", "available", "active", "up")
_OFF: Final = ("0", "off", "false", "no", "offline", "unavailable", "inactive", "down")


@dataclass(frozen=True)
class Stays:
    """When one client is available.

    Attributes:
        intervals: in order.
        repeat: the time after which they repeat (seconds); None: never.
    """

    intervals: tuple[Interval, ...]
    repeat: float | None = None


def availability_of(stays: Sequence[Stays]) -> tuple[list[Table], dict[str, Any], bool]:
    """The tables and the block of a scenario for clients that are available at some times.

    Args:
        stays: of clients 0, 1, ...

    Returns:
        the tables, the block, and whether the scenario must have exactly so many clients.

    Raises:
        InputError: there are too many intervals for a table.
    """
    if sum(len(each.intervals) for each in stays) > MAX_ROWS:
        raise InputError(f"more than {MAX_ROWS:,} intervals; expected fewer, as --clients gives")
    rows = []
    for client, each in enumerate(stays):
        for start, end in _placed(each):
            rows.append((str(client), exact(start), exact(end)))
    tables = [Table("availability", ("client", "start", "end"), rows)]
    block: dict[str, Any] = {"kind": "trace", "trace": File("availability")}
    repeats = [each.repeat for each in stays]
    if len(set(repeats)) == 1:
        if repeats[0] is not None:
            block["repeat"] = repeats[0]
        return tables, block, False
    own = [(str(client), exact(repeat or 0)) for client, repeat in enumerate(repeats)]
    tables.append(Table("repeats", ("client", "repeat"), own))
    block["repeat"] = {"trace": File("repeats"), "column": "repeat", "by": "client"}
    return tables, block, True


def _placed(stays: Stays) -> Iterator[Interval]:
    """The intervals, each beginning before the repeat and lasting at most as long."""
    repeat = stays.repeat
    if repeat is None:
        yield from stays.intervals
        return
    for start, end in stays.intervals:
        if end - start >= repeat:
            yield 0.0, repeat
        else:
            begin = start % repeat
            yield begin, round(begin + (end - start), 6)


def import_availability(
    paths: Sequence[Path], columns: Mapping[str, Sequence[str]], repeat: float | None = None
) -> Imported:
    """A log of when clients are available, with a header row.

    It has the columns client, start and end; or client, time and state, which is on or off.

    Args:
        paths: tables with the same columns.
        columns: for each of these the names that it may have in the files, beside the usual ones.
        repeat: the time after which all begins anew (seconds); None: never.

    Raises:
        InputError: a file is no such log.
    """
    sources = sources_of("availability", paths)
    found: dict[str, list[Interval]] = {}
    times = Times()
    for source in sources:
        header, rows = one_table(source)
        places = named(source, header, _NAMES, columns, ("client",))
        if "start" in places and "end" in places:
            _read_intervals(source, header, rows, places, times, found)
        elif "time" in places and "state" in places:
            _read_changes(source, header, rows, places, times, found)
        else:
            raise InputError(
                f"{source.path}:1: the columns are {', '.join(header)}; expected client, start and "
                "end, or client, time and state, or --column, such as --column start=NAME"
                f"{hint('start', header)}"
            )
        source.refuse_mistakes()
    clients = [found[key] for key in sorted(found, key=_by_number)]
    if not any(clients):
        raise InputError(f"{sources[0].path}: no client is ever available; expected some")
    zero = times.zero
    stays = [
        Stays(tuple((a - zero, b - zero) for a, b in sorted(each)), repeat)
        for each in clients
        if each
    ]
    tables, block, exactly = availability_of(stays)
    report = [
        f"{counted(len(stays), 'client')}, {counted(sum(len(s.intervals) for s in stays), 'stay')}",
        *times.report(),
    ]
    report += left_out(*(source.dropped for source in sources))
    if len(stays) < len(clients):
        report.append(f"left out: {len(clients) - len(stays):,} clients that are never available")
    return Imported(tuple(tables), {"availability": block}, len(stays), exactly, report)


def _by_number(client: str) -> tuple[int, int, str]:
    plain = client.isascii() and client.isdecimal() and len(client) < 19
    return (0, int(client), "") if plain else (1, 0, client)


def _read_intervals(
    source: Source,
    header: Sequence[str],
    rows: Iterator[tuple[int, list[str]]],
    places: Mapping[str, int],
    times: Times,
    found: dict[str, list[Interval]],
) -> None:
    names = [header[places[key]] for key in ("start", "end")]
    for line, cells in rows:
        client = cells[places["client"]]
        if not client:
            source.wrong(line, "no client; expected its name or number")
            continue
        start = times.read(source, line, names[0], cells[places["start"]])
        end = times.read(source, line, names[1], cells[places["end"]])
        if start is None or end is None:
            continue
        if end < start:
            source.wrong(
                line, f"end {cells[places['end']]} is before start {cells[places['start']]}"
            )
        elif end == start:
            source.drop("stays that do not last")
        else:
            found.setdefault(client, []).append((start, end))


def _read_changes(
    source: Source,
    header: Sequence[str],
    rows: Iterator[tuple[int, list[str]]],
    places: Mapping[str, int],
    times: Times,
    found: dict[str, list[Interval]],
) -> None:
    """The stays between a change to on and the next one to off, or the end of the file."""
    name = header[places["time"]]
    since: dict[str, float] = {}
    last: dict[str, tuple[float, int]] = {}
    latest = 0.0
    for line, cells in rows:
        client, told = cells[places["client"]], cells[places["state"]].lower()
        time = times.read(source, line, name, cells[places["time"]])
        if told not in (*_ON, *_OFF):
            source.wrong(line, f"{header[places['state']]} is {show(told)}; expected on or off")
            continue
        if time is None:
            continue
        before, where = last.get(client, (time, line))
        if time < before:
            source.wrong(
                line,
                f"{name} {cells[places['time']]} is before that of line {where}; expected the rows "
                "of a client in the order of time",
            )
            continue
        last[client] = time, line
        latest = max(latest, time)
        found.setdefault(client, [])
        if (told in _ON) == (client in since):
            source.drop("changes to the state that a client has")
        elif told in _ON:
            since[client] = time
        elif time > since[client]:
            found[client].append((since.pop(client), time))
        else:
            since.pop(client)
            source.drop("stays that do not last")
    for client, begin in since.items():
        if latest > begin:
            found[client].append((begin, latest))
