"""What is wrong with groups of clients, and with lists and traces of clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.mistakes.explain import Finding, KeyPath
from afl_sim.scenario.mistakes.partial import Partial, fields_of, without_unknown
from afl_sim.scenario.sections.group_members import data_problems, size_problems, sizes
from afl_sim.scenario.traces.device_columns import FLOPS, ROOFLINE, SPEEDS
from afl_sim.scenario.traces.tables.clients import without_rows

_WHERE: KeyPath = ("clients", "groups")


def group_problems(clients: Any, data: Any, count: int | None) -> Iterator[Finding]:
    """Sizes that cannot be, and groups that other settings do not suit.

    Args:
        clients, data: these sections of a scenario, where they are known.
        count: number of clients, where it is known.
    """
    if clients is None or not clients.groups:
        return
    problems = list(size_problems(clients.groups, count))
    if data is not None:
        problems += data_problems(clients.groups, data.partition)
    for path, message in problems:
        yield Finding((*_WHERE, *map(_index, path)), message)
    for index, group in enumerate(clients.groups):
        further = [name for name in ROOFLINE if getattr(group.compute, name) is not None]
        if further and group.compute.unit != "flop":
            yield Finding(
                (*_WHERE, index, "compute", further[0]),
                f"describes a processor further whose {FLOPS} nothing says; expected {FLOPS} in "
                "the group or in clients.compute",
            )
    correlated = data is not None and data.speed_correlation is not None
    if correlated and any(group.data is not None for group in clients.groups):
        yield Finding(
            ("data", "speed_correlation"),
            "it hands the clients' samples around by speed, but groups have data of their own; "
            "expected one of the two",
        )
    units = {_unit(group): index for index, group in enumerate(clients.groups)}
    if correlated and len(units) > 1:
        first, second = list(units)[:2]
        yield Finding(
            (*_WHERE, units[second], "compute"),
            f"its speed is per {second} and another group's per {first}, so that "
            "data.speed_correlation cannot compare them; expected the same unit in all groups",
        )


def _unit(group: Any) -> str:
    """What the speed of a group is for, where clients are compared by speed."""
    measured = () if group.devices is None else group.devices.devices.columns
    unit = next((name for name in SPEEDS if name in measured), f"seconds_per_{group.compute.unit}")
    if FLOPS in measured or unit == "seconds_per_flop":
        return "sample"
    return unit.removeprefix("seconds_per_")


def group_sizes(clients: Any, count: int) -> Iterator[tuple[KeyPath, int | None]]:
    """Each group's key path and number of clients; None where it is drawn."""
    if clients is None or isinstance(clients, Partial) or not clients.groups:
        return
    if any(size_problems(clients.groups, count)):
        return
    for index, size in enumerate(sizes(clients.groups, count)):
        yield (*_WHERE, index), size


def fleets_of(clients: Any, count: int) -> Iterator[tuple[KeyPath, Any, int | None]]:
    """The parts of the fleet that have laws of their own: key path, section and size.

    The size is None where it is drawn.
    """
    if clients is None:
        return
    if isinstance(clients, Partial) or not clients.groups:
        yield ("clients",), clients, count
        return
    for path, size in group_sizes(clients, count):
        yield path, clients.of_group(clients.groups[path[2]]), size


def _index(part: str) -> str | int:
    return int(part) if part.isdecimal() else part


def distributions_in(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Distribution]]:
    """Every distribution in a section, with its key path."""
    if isinstance(value, Distribution):
        yield path, value
    elif isinstance(value, BaseModel | Partial):
        for key, part in fields_of(value):
            yield from distributions_in(part, (*path, key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from distributions_in(item, (*path, i))


def wrong_lengths(sections: Mapping[str, Any], clients: int) -> Iterator[Finding]:
    """Lists that have not one entry for each client of the fleet, or of the group."""
    counts = dict(group_sizes(sections.get("clients"), clients))
    for name, section in sections.items():
        for path, distribution in distributions_in(section, (name,)):
            if distribution.length is None:
                continue
            group: KeyPath = path[:3]
            count: int | None = clients
            if group[:2] == ("clients", "groups"):
                count = counts.get(group, distribution.length)  # of wrong sizes something is said
            if count is None:
                yield Finding(
                    path,
                    "has a value for each client, but how many clients are in this group is "
                    "drawn; expected exactly: true, or another distribution",
                )
            elif distribution.length != count:
                whole = "the group has" if group in counts else "clients.count is"
                yield Finding(
                    path,
                    f"has values for {distribution.length} clients, but {whole} {count}; "
                    "expected one value for each client",
                )


def wrong_traces(clients: Any, count: int) -> Iterator[Finding]:
    """Traces that have not a row for each client that needs one."""
    for path, fleet, size in fleets_of(clients, count):
        yield from without_unknown(_absent_clients(path, fleet, size))
        yield from without_unknown(_wrong_links(path, fleet, size))


def _wrong_links(path: KeyPath, fleet: Any, count: int | None) -> Iterator[Finding]:
    for name in ("download", "upload"):
        trace = getattr(fleet.network, name).bandwidth_trace
        if trace is None:
            continue
        if trace.by == "client" and len(trace.links) != count:
            whole = "clients.count is" if path == ("clients",) else "the group has"
            yield Finding(
                (*path, "network", name, "bandwidth_trace", "trace"),
                f"{trace.trace} has the links of {len(trace.links)} clients, but {whole} "
                f"{'a drawn number of clients' if count is None else count}; expected a link for "
                "each client, or by: sample",
            )
        if fleet.devices is not None and f"{name}_bandwidth" in fleet.devices.devices.columns:
            yield Finding(
                (*path, "network", name, "bandwidth_trace"),
                f"the devices of {fleet.devices.trace} have a column {name}_bandwidth, too; "
                "expected one of the two",
            )


def _absent_clients(path: KeyPath, fleet: Any, count: int | None) -> Iterator[Finding]:
    """A client without a row would be away for ever, without a notice."""
    availability = fleet.availability
    if availability.kind != "trace":
        return
    if fleet.devices is not None and fleet.devices.devices.presences:
        return  # the devices say which rows are whose
    rows = len(availability.presences.intervals)
    clients = rows if count is None else min(count, rows)
    absent = [i for i in availability.presences.without_rows if i < clients]
    if absent:
        yield Finding(
            (*path, "availability", "trace"),
            without_rows(availability.trace, len(absent), clients, absent[0]),
        )
