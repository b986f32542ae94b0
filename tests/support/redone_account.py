"""The account of a run once more, from the rows of its log: interval by interval, not in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from world_runs import Event, Outcome

from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.energy import Power
from afl_sim.streams import Streams

Span = tuple[int, int]
Watts = dict[str, dict[int, Fraction]]


def watts_of(world: Scenario, phases: Iterable[str]) -> Watts:
    """Each client's power, in whole microwatts; the fleet has one law for each phase."""
    streams = Streams(world.seed)
    found: Watts = {}
    for phase in phases:
        law = getattr(world.clients.power, phase)
        found[phase] = {
            client: Fraction(
                round(1e6 * law.quantile(streams.uniform(f"power.{phase}", client), client)),
                10**6,
            )
            for client in range(world.clients.count)
        }
    return found


def spans_of(rows: list[Event], end_us: int) -> dict[str, list[Span]]:
    """When a task was in each phase."""
    found: dict[str, list[Span]] = defaultdict(list)
    phase, since = "download", rows[0].time_us
    following = {
        "downloaded": "compute",
        "queued": "",
        "started": "compute",
        "computed": "upload",
        "arrived": "",
        "cancelled": "",
        "failed": "",
    }
    for row in rows[1:]:
        if row.kind in following:
            found[phase].append((since, row.time_us))
            phase, since = following[row.kind], row.time_us
    found[phase].append((since, end_us))
    found.pop("", None)
    return found


def length(spans: Iterable[Span]) -> int:
    """Of the union of spans."""
    total, reached = 0, 0
    for begin, end in sorted(spans):
        total += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def life(world: Scenario, client: int, end_us: int) -> Span:
    """From when the client joins until it leaves for good, as its availability says."""
    settings = world.clients.availability
    streams = Streams(world.seed)
    instants = []
    for name in ("joins", "leaves"):
        law = getattr(settings, name)
        if law is None:
            instants.append(end_us)
            continue
        seconds = law.quantile(streams.uniform(f"availability.{name}", client), client)
        instants.append(min(end_us, round(seconds * 1e6)))
    return instants[0], max(instants)


def redone(world: Scenario, outcome: Outcome) -> dict[str, float]:
    """Joules by phase, with ``wasted`` and ``total``."""
    end = outcome.ending.time_us
    watts = watts_of(world, ("download", "compute", "upload", "idle"))
    tasks: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for event in outcome.events:
        if event.task >= 0 and event.kind != "duplicate":
            tasks[event.client, event.task].append(event)
    joules: dict[str, Fraction] = defaultdict(Fraction)
    at_work: dict[int, list[Span]] = defaultdict(list)
    for (client, _), rows in tasks.items():
        spent = Fraction(0)
        for phase, spans in spans_of(rows, end).items():
            used = watts[phase][client] * sum(until - since for since, until in spans)
            joules[phase] += used
            spent += used
            at_work[client] += spans
        stays = [row.time_us for row in rows if row.kind in ("arrived", "cancelled", "failed")]
        at_work[client].append((rows[0].time_us, stays[0] if stays else end))
        if {"discarded", "cancelled", "failed"} & {row.kind for row in rows}:
            joules["wasted"] += spent
    for client in range(world.clients.count):
        begin, until = life(world, client, end)
        busy = [(max(a, begin), min(b, until)) for a, b in at_work[client]]
        free = max(0, until - begin) - length((a, b) for a, b in busy if a < b)
        joules["idle"] += watts["idle"][client] * free
    total = sum(joules[phase] for phase in ("download", "compute", "upload", "idle"))
    found: dict[str, Any] = {**joules, "total": total}
    return {name: float(value / 10**6) for name, value in found.items()}


def with_power(world: Scenario, power: dict[str, Any]) -> Scenario:
    """The world, with the same power laws in all groups."""
    block = Power(**power)
    groups = tuple(group.model_copy(update={"power": block}) for group in world.clients.groups)
    clients = world.clients.model_copy(update={"power": block, "groups": groups})
    return world.model_copy(update={"clients": clients})
