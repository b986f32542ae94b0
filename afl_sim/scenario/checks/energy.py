"""What is wrong with power, energy and prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from afl_sim.scenario.checks.parts import measured
from afl_sim.scenario.mistakes.explain import Finding, KeyPath
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.energy import PHASES, counts_energy, joules_of
from afl_sim.scenario.sections.metrics import metric_name
from afl_sim.scenario.sections.settings import Server
from afl_sim.scenario.traces.device_columns import FLOPS, SPEEDS

_JOULES_INSTEAD = {
    "compute": "energy_per_sample",
    "download": "energy_per_byte.download",
    "upload": "energy_per_byte.upload",
}


def energy_findings(sections: Mapping[str, Any]) -> Iterator[Finding]:
    """Power that is missing or said twice, and limits of what is not counted.

    Args:
        sections: the valid ones among a scenario's attributes, by name.
    """
    clients, server = sections.get("clients"), sections.get("server")
    if clients is None or server is None:
        return
    fleets = list(_fleets(clients))
    counted = any(counts_energy(fleet) for _, fleet in fleets)
    for path, fleet in fleets:
        if fleet.battery is not None and not counts_energy(fleet):
            yield Finding(
                (*path, "battery"),
                "nothing uses it up; expected power or energy_per_sample as well",
            )
    if counted:
        for path, fleet in fleets:
            yield from _of_fleet(path, fleet, server)
    priced = server.price is not None or any(fleet.price is not None for _, fleet in fleets)
    energy = counted or server.power is not None
    common = sections.get("carbon_intensity")
    carbon = [fleet.carbon_intensity for _, fleet in fleets] if counted else []
    carbon += [server.carbon_intensity] if server.power is not None else []
    own = [fleet.carbon_intensity for _, fleet in fleets] + [server.carbon_intensity]
    if not energy and (common is not None or any(each is not None for each in own)):
        yield Finding(
            ("carbon_intensity",),
            "no energy is counted; expected clients.power or server.power",
        )
    has_carbon = bool(carbon) and (common is not None or any(each is not None for each in carbon))
    used = {"energy_joules": energy, "price": priced, "carbon_grams": has_carbon}
    yield from _stop(sections.get("stop"), used)
    yield from _columns(sections.get("evaluation"), [name for name, there in used.items() if there])


def _fleets(clients: Clients) -> Iterator[tuple[KeyPath, Clients]]:
    """The parts of the fleet that have laws of their own, with their key paths."""
    for index, group in enumerate(clients.groups):
        yield ("clients", "groups", index), measured(clients.of_group(group))
    if not clients.groups:
        yield ("clients",), measured(clients)


def _of_fleet(path: KeyPath, fleet: Clients, server: Server) -> Iterator[Finding]:
    occurs = _phases(fleet, server)
    missing: list[str] = []
    for phase in PHASES:
        watts, joules = getattr(fleet.power, phase, None), joules_of(fleet, phase)
        if watts is not None and joules is not None:
            yield Finding(
                (*path, "power", phase),
                f"power.{phase} and {_JOULES_INSTEAD[phase]} both say what this takes; expected "
                "one of them",
            )
        elif watts is None and joules is None and phase in occurs:
            missing.append(phase)
    expected = [f"power.{phase} (or {_JOULES_INSTEAD[phase]})" for phase in missing]
    if getattr(fleet.power, "idle", None) is None:
        missing.append("idle")
        expected.append("power.idle")
    if missing:
        yield Finding(
            (*path, "power") if fleet.power is not None else path,
            f"no power for {_listed(missing)}, so that its energy is unknown; expected "
            f"{_listed(expected)}, 0 if it is not to count",
        )


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _phases(fleet: Clients, server: Server) -> set[str]:
    """The phases that take time."""
    found = set()
    compute, devices = fleet.compute, fleet.devices
    columns = set() if devices is None else set(devices.devices.columns)
    speed, extra = compute.speed.constant, compute.jitter_seconds.constant
    if speed != 0 or extra != 0 or not columns.isdisjoint((*SPEEDS, FLOPS)):
        found.add("compute")
    for way in ("download", "upload"):
        link = getattr(fleet.network, way)
        carries = link.bandwidth is not None or link.bandwidth_trace is not None
        takes_time = carries or link.latency.constant != 0
        if (
            takes_time
            or getattr(server, way).bandwidth is not None
            or any(name.startswith(way) for name in columns)
        ):
            found.add(way)
    return found


_WITHOUT = {
    "energy_joules": "no energy is counted; expected clients.power or server.power",
    "price": "there are no prices; expected clients.price or server.price",
    "carbon_grams": "no carbon is counted; expected carbon_intensity, and clients.power or "
    "server.power",
}


def _stop(stop: Any, used: Mapping[str, bool]) -> Iterator[Finding]:
    for name in () if stop is None else stop.by_cost:
        if not used[name]:
            yield Finding(("stop", name), _WITHOUT[name])


def _columns(evaluation: Any, taken: list[str]) -> Iterator[Finding]:
    """A metric that has the name of what is counted beside it."""
    for index, metric in enumerate(getattr(evaluation, "metrics", None) or ()):
        if metric_name(metric) in taken:
            yield Finding(
                ("evaluation", "metrics", index),
                f"{metric_name(metric)} is the column of what the run uses; expected another name",
            )
