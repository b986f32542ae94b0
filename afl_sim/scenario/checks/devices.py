"""What is wrong with tables of devices beside the other settings of a scenario."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from afl_sim.scenario.checks.fleet import fleets_of
from afl_sim.scenario.mistakes.explain import Finding, KeyPath
from afl_sim.scenario.mistakes.partial import Partial, without_unknown
from afl_sim.scenario.traces.bandwidths import link_of
from afl_sim.scenario.traces.device_columns import LINK, MEASUREMENTS, PRESENCE, SAMPLES
from afl_sim.scenario.traces.tables import number_of
from afl_sim.scenario.wording import show

_LEFT_OUT = "or `columns` without it"


def device_problems(clients: Any, data: Any, count: int) -> Iterator[Finding]:
    """Tables of devices with too few rows, and columns that have no key to take the place of.

    Args:
        clients, data: these sections of a scenario, as far as they are valid.
        count: number of clients.
    """
    for path, fleet, size in fleets_of(clients, count):
        yield from without_unknown(_rows(path, fleet, size))
        yield from without_unknown(_availability(path, fleet))
        yield from without_unknown(_links(path, fleet))
        yield from without_unknown(_memory(path, fleet))
    yield from without_unknown(_too_few_devices(clients, count))
    yield from without_unknown(_samples(clients, data, count))


def _rows(path: KeyPath, fleet: Any, count: int | None) -> Iterator[Finding]:
    trace = fleet.devices
    if trace is not None and trace.by == "client" and len(trace.devices) != count:
        whole = "clients.count is" if path == ("clients",) else "the group has"
        yield Finding(
            (*path, "devices", "trace"),
            f"{trace.trace} has {len(trace.devices)} devices, but {whole} "
            f"{'a drawn number of clients' if count is None else count}; expected a row for each "
            "client, or by: sample",
        )


def _too_few_devices(clients: Any, count: int) -> Iterator[Finding]:
    """Tables of which each device is at most one client, but which have fewer than that."""
    if clients is None:
        return
    needed: list[tuple[Any, int, KeyPath]] = []
    for path, fleet, size in fleets_of(clients, count):
        trace = fleet.devices
        if trace is None or trace.replacement:
            continue
        size = count if size is None else size  # a drawn size may be that of all clients
        for index, (other, before, first) in enumerate(needed):
            if other == trace:
                needed[index] = (other, min(count, before + size), first)
                break
        else:
            needed.append((trace, size, path))
    for trace, size, path in needed:
        if len(trace.devices) < size:
            yield Finding(
                (*path, "devices", "replacement"),
                f"{trace.trace} has {len(trace.devices)} devices for {size} clients; expected at "
                "least as many, or replacement: true",
            )


def _availability(path: KeyPath, fleet: Any) -> Iterator[Finding]:
    """Columns about availability, which need a kind of it."""
    trace, availability = fleet.devices, fleet.availability
    if trace is None:
        return
    where = (*path, "devices", "trace")
    unsuited: dict[str, list[str]] = {}
    for name in trace.devices.names:
        if name == LINK:
            continue
        kind = "trace" if name == PRESENCE else MEASUREMENTS[name].kind
        if kind is not None and availability.kind != kind:
            unsuited.setdefault(kind, []).append(name)
        elif name in ("on", "off"):
            law = getattr(availability, name)
            means = {law.mean(client) for client in range(law.length or 1)}
            if not all(0 < mean < math.inf for mean in means):
                yield Finding(
                    (*path, "availability", name),
                    f"the devices give each client a mean of its own, to which this law is "
                    f"stretched, but its mean is {max(means):g}; expected a finite mean above 0",
                )
    for kind, names in unsuited.items():
        yield Finding(
            where,
            f"{trace.trace} has a column for {' and '.join(names)}, but clients.availability is of "
            f"the kind {availability.kind}; expected {{kind: {kind}, ...}}, {_LEFT_OUT}",
        )
    if trace.devices.presences and availability.kind == "trace":
        numbers = availability.presences.numbers
        rows = len(availability.presences.intervals)
        for client in dict.fromkeys(trace.devices.presences):
            number = number_of(client, numbers)
            if number is None or not 0 <= number < rows:
                yield Finding(
                    where,
                    f"{trace.trace} has a device with the availability {show(client)}, but "
                    f"{availability.trace} has no client {show(client)}; expected ids of its "
                    "column client",
                )
                return


def _links(path: KeyPath, fleet: Any) -> Iterator[Finding]:
    """A column of links, which needs traces that have links of these names."""
    trace = fleet.devices
    if trace is None or not trace.devices.links:
        return
    where = (*path, "devices", "trace")
    traced = {
        way: link.bandwidth_trace
        for way in ("download", "upload")
        if (link := getattr(fleet.network, way)).bandwidth_trace is not None
    }
    if not traced:
        yield Finding(
            where,
            f"{trace.trace} has a column for {LINK}, but no link of clients.network follows a "
            f"trace; expected bandwidth_trace, {_LEFT_OUT}",
        )
    for way, links in traced.items():
        if links.by == "client":
            yield Finding(
                (*path, "network", way, "bandwidth_trace", "by"),
                f"got client, but the column {LINK} of {trace.trace} says which link each device "
                "has; expected by: sample",
            )
            return
        unknown = [name for name in trace.devices.links if link_of(links.links, name) is None]
        if unknown:
            yield Finding(
                where,
                f"{trace.trace} has a device with the {LINK} {show(unknown[0])}, but {links.trace} "
                f"has no link {show(unknown[0])}; expected names of its column {LINK} or client",
            )
            return


def _memory(path: KeyPath, fleet: Any) -> Iterator[Finding]:
    memory, trace = fleet.memory, fleet.devices
    measured = trace is not None and "memory" in trace.devices.columns
    if memory is not None and memory.bytes is None and not measured:
        yield Finding(
            (*path, "memory"),
            "does not say how much there is; expected bytes, such as 4 GB, or clients.devices "
            "with a column memory",
        )
    elif memory is not None and memory.bytes is not None and measured:
        yield Finding(
            (*path, "memory", "bytes"),
            f"{trace.trace} gives the memory of each device; expected one of the two",
        )


def _samples(clients: Any, data: Any, count: int) -> Iterator[Finding]:
    """A column of sizes and the partition, of which one needs the other."""
    if clients is None or data is None or isinstance(data, Partial):
        return
    fleets = [(path, fleet.devices) for path, fleet, _ in fleets_of(clients, count)]
    having = [path for path, trace in fleets if trace and SAMPLES in trace.devices.columns]
    for index, group in enumerate(clients.groups):
        own = None if group.data is None else group.data.partition
        if own is not None and own.by_devices:
            yield Finding(
                ("clients", "groups", index, "data", "partition"),
                "groups with data of their own do not get the samples of their devices; expected "
                "data.partition with this, and no data in the groups",
            )
            return
    partition = data.partition
    key = "law" if partition.kind == "quantity" else "samples"
    if not partition.by_devices:
        for path in having[:1]:
            yield Finding(
                (*path, "devices", "trace"),
                "the file has a column for samples, but the partition does not use it; expected "
                "data.partition.samples: devices (with kind iid, dirichlet or classes), "
                f"data.partition: {{kind: quantity, law: devices}}, {_LEFT_OUT}",
            )
        return
    without = [path for path, _ in fleets if path not in having]
    if without:
        whose = "" if without[0] == ("clients",) else f" of {'.'.join(map(str, without[0]))}"
        yield Finding(
            ("data", "partition", key),
            f"got devices, but the devices{whose} have no column for samples; expected a file in "
            "clients.devices that has one, or another setting",
        )
    elif data.speed_correlation is not None:
        yield Finding(
            ("data", "speed_correlation"),
            "it hands the clients' samples around, but the devices give each client its own "
            "number of them together with its speed; expected one of the two",
        )
    elif any(group.data is not None for group in clients.groups):
        yield Finding(
            ("data", "partition", key),
            "got devices, but groups have data of their own; expected one of the two",
        )
