"""FLASH's state traces: when a phone is charged, on Wi-Fi and locked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from afl_sim.errors import InputError
from afl_sim.importers.availability import Interval, Stays, availability_of
from afl_sim.importers.imported import Imported, counted, left_out
from afl_sim.importers.kinds import sources_of
from afl_sim.importers.reading import Source
from afl_sim.importers.times import Times
from afl_sim.scenario.traces.instants import EXPECTED, instant_of
from afl_sim.scenario.wording import hint, show

CONDITIONS: Final = ("charged", "wifi", "locked")
"""What a phone must be to be available: FLASH's own definition."""
_CHANGES: Final[Mapping[str, tuple[str, bool]]] = {
    "battery_charged_on": ("charged", True),
    "battery_charged_off": ("charged", False),
    "wifi": ("wifi", True),
    **dict.fromkeys(("unknown", "5g", "4g", "3g", "2g", "none"), ("wifi", False)),
    "screen_lock": ("locked", True),
    "screen_unlock": ("locked", False),
    "screen_off": ("screen_off", True),
    "screen_on": ("screen_off", False),
    "phone_on": ("on", True),
    "phone_off": ("on", False),
}
_OTHERS: Final = ("battery_low", "battery_okay")
_KNOWN: Final = (*CONDITIONS, "screen_off")


@dataclass
class _Trace:
    """What one client's messages say.

    Attributes:
        begin, end: of its messages (seconds).
        stays: when it was available.
    """

    begin: float
    end: float
    stays: list[Interval]


def import_flash(
    paths: Sequence[Path],
    require: Sequence[str] = CONDITIONS,
    repeat: float | None = None,
    clients: int | None = None,
) -> Imported:
    """State traces: JSON of clients, each with lines of a time, a tab and a state.

    A client is available while all conditions hold. A condition that has not been told is not met.
    A trace repeats after its last message, as in FLASH.

    Args:
        paths: files with different clients.
        require: the conditions: some of charged, wifi, locked, screen_off.
        repeat: in place of each client's own time (seconds).
        clients: only so many are used, the first ones; None: all.

    Raises:
        InputError: a file is no such trace.
    """
    for condition in require:
        if condition not in _KNOWN:
            raise InputError(
                f"--require: unknown condition {condition!r}; expected some of "
                f"{', '.join(_KNOWN)}{hint(condition, _KNOWN)}"
            )
    sources = sources_of("flash", paths)
    traces: list[_Trace] = []
    for source in sources:
        for key, entry in list(_entries(source).items())[:clients]:
            trace = _read(source, key, entry, require)
            if trace is not None and trace.stays:
                traces.append(trace)
            elif trace is not None:
                source.drop("clients that are never available")
        source.refuse_mistakes()
    traces = traces[:clients]
    if not traces:
        raise InputError(
            f"{sources[0].path}: no client is ever {', '.join(require)}; expected fewer conditions "
            "in --require"
        )
    zero = min(trace.begin for trace in traces)
    stays = [
        Stays(
            tuple((a - zero, b - zero) for a, b in trace.stays),
            repeat if repeat is not None else trace.end - trace.begin,
        )
        for trace in traces
    ]
    tables, block, exactly = availability_of(stays)
    times = Times.at(zero)
    report = [
        f"{counted(len(stays), 'client')}, {counted(sum(len(s.intervals) for s in stays), 'stay')}",
        f"available while: {', '.join(require)}",
        *times.report(),
    ]
    report += left_out(*(source.dropped for source in sources))
    return Imported(tuple(tables), {"availability": block}, len(stays), exactly, report)


def _entries(source: Source) -> Mapping[str, Any]:
    try:
        found = json.loads(source.text())
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        why = getattr(error, "msg", "too deep")
        raise InputError(f"{source.path}:{line}: not readable as JSON: {why}") from None
    if not isinstance(found, dict) or not found:
        raise InputError(f"{source.path}: expected a JSON object with a client for each key")
    return found


def _read(source: Source, key: str, entry: Any, require: Sequence[str]) -> _Trace | None:
    """One client's trace; None if it is left out or a mistake was noted."""
    messages = entry.get("messages") if isinstance(entry, dict) else None
    if not isinstance(messages, str):
        source.drop("clients without messages")
        return None
    state = dict.fromkeys(_KNOWN, False) | {"on": True}
    trace: _Trace | None = None
    since: float | None = None
    for number, message in enumerate(messages.splitlines(), start=1):
        if not message.strip():
            continue
        time, _, told = message.strip().partition("\t")
        instant = instant_of(time)
        if instant is None:
            source.wrong(1, f"client {key}, message {number}: {show(time)}; expected {EXPECTED}")
            return None
        now = instant.us / 1e6
        if trace is None:
            trace = _Trace(now, now, [])
        if now < trace.end:
            source.wrong(
                1,
                f"client {key}, message {number}: {time} is before the message before it; expected "
                "messages in the order of time",
            )
            return None
        trace.end = now
        told = told.strip().lower()
        if told in _CHANGES:
            name, value = _CHANGES[told]
            state[name] = value
        elif told not in _OTHERS and not told.endswith("%"):
            source.drop(f"messages with the unknown state {show(told)}")
        ready = state["on"] and all(state[name] for name in require)
        if ready and since is None:
            since = now
        elif not ready and since is not None:
            if now > since:
                trace.stays.append((since, now))
            since = None
    if trace is None or trace.end == trace.begin:
        source.drop("clients whose messages last no time")
        return None
    if since is not None and trace.end > since:
        trace.stays.append((since, trace.end))
    return trace
