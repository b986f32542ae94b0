"""The account of a run once more, from the rows of its log: interval by interval, not in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from world_runs import Event, Outcome

from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.energy import Power
from afl_sim.scenario.sections.group_members import members
from afl_sim.streams import Streams

Span = tuple[int, int]
Watts = dict[str, dict[int, Fraction]]
PHASES = ("download", "compute", "upload", "idle")


def fleets_of(world: Scenario) -> list[Clients]:
    """The laws that hold for each client."""
    clients = world.clients
    if not clients.groups:
        return [clients] * clients.count
    parts = [clients.of_group(group) for group in clients.groups]
    return [parts[i] for i in members(clients.groups, clients.count, Streams(world.seed))]


def watts_of(world: Scenario) -> Watts:
    """Each client's power, in whole microwatts."""
    streams, fleets = Streams(world.seed), fleets_of(world)
    found: Watts = {}
    for phase in PHASES:
        found[phase] = {}
        for client, fleet in enumerate(fleets):
            drawn = getattr(fleet.power, phase).quantile(
                streams.uniform(f"power.{phase}", client), client
            )
            found[phase][client] = Fraction(round(1e6 * drawn), 10**6)
    return found


def spans_of(rows: list[Event], end_us: int) -> dict[str, list[Span]]:
    """When a task was in each phase."""
    found: dict[str, list[Span]] = defaultdict(list)
    phase, since = "download", rows[0].time_us
    following = {
        "downloaded": "compute",
        "queued": "",
        "started": "compute",
        "requested": "download",
        "refreshed": "compute",
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


def life(world: Scenario, client: int, end_us: int) -> Span:
    """From when the client joins until it leaves for good, as its availability says."""
    settings = fleets_of(world)[client].availability
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


def tasks_of(outcome: Outcome) -> dict[tuple[int, int], list[Event]]:
    """The rows of each task."""
    tasks: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for event in outcome.events:
        if event.task >= 0 and event.kind != "duplicate":
            tasks[event.client, event.task].append(event)
    return tasks


def gaps(spans: Iterable[Span], within: Span) -> list[Span]:
    """What spans leave of another one."""
    found, reached = [], within[0]
    for begin, end in sorted(spans):
        if begin > reached:
            found.append((reached, min(begin, within[1])))
        reached = max(reached, end)
    found.append((reached, within[1]))
    return [(a, b) for a, b in found if a < b]


def uses(world: Scenario, outcome: Outcome) -> dict[str, list[tuple[int, Span]]]:
    """In each phase, who was in it and when; idle is one of them."""
    end = outcome.ending.time_us
    found: dict[str, list[tuple[int, Span]]] = {phase: [] for phase in PHASES}
    at_work: dict[int, list[Span]] = defaultdict(list)
    for (client, _), rows in tasks_of(outcome).items():
        for phase, spans in spans_of(rows, end).items():
            found[phase] += [(client, span) for span in spans]
            at_work[client] += spans
        stays = [row.time_us for row in rows if row.kind in ("arrived", "cancelled", "failed")]
        at_work[client].append((rows[0].time_us, stays[0] if stays else end))
    for client in range(world.clients.count):
        free = gaps(at_work[client], life(world, client, end))
        found["idle"] += [(client, span) for span in free]
    return found


def redone(world: Scenario, outcome: Outcome) -> dict[str, float]:
    """Joules by phase, with ``wasted`` and ``total``."""
    end, watts = outcome.ending.time_us, watts_of(world)
    joules = {
        phase: sum((watts[phase][who] * (b - a) for who, (a, b) in spans), Fraction(0))
        for phase, spans in uses(world, outcome).items()
    }
    total = sum(joules.values(), Fraction(0))
    wasted = Fraction(0)
    for (client, _), rows in tasks_of(outcome).items():
        if {"discarded", "cancelled", "failed"} & {row.kind for row in rows}:
            for phase, spans in spans_of(rows, end).items():
                wasted += watts[phase][client] * sum(b - a for a, b in spans)
    found = {**joules, "wasted": wasted, "total": total}
    return {name: float(value / 10**6) for name, value in found.items()}


def grams(world: Scenario, outcome: Outcome, steps: Sequence[int], step_us: int) -> float:
    """Grams of carbon dioxide of the clients: watts, times seconds, times the intensity then.

    Args:
        world, outcome: a run.
        steps: grams per kilowatt-hour, over and over, where a client's fleet says no number.
        step_us: how long each holds.
    """
    watts, fleets = watts_of(world), fleets_of(world)
    total = Fraction(0)
    for phase, spans in uses(world, outcome).items():
        for client, (begin, end) in spans:
            own = fleets[client].carbon_intensity
            if own is not None:
                total += watts[phase][client] * Fraction(own) * (end - begin)
                continue
            now = begin
            while now < end:  # from one change of the intensity to the next
                step = now // step_us
                until = min(end, (step + 1) * step_us)
                total += watts[phase][client] * steps[step % len(steps)] * (until - now)
                now = until
    return float(total / 10**6 / 3_600_000)


def charged(world: Scenario, outcome: Outcome) -> list[tuple[int, int, int]]:
    """When batteries became low: (client, then, when it is full again), in microseconds."""
    streams, fleets, watts = Streams(world.seed), fleets_of(world), watts_of(world)
    spent: dict[tuple[int, int], Fraction] = {}
    for (client, task), rows in tasks_of(outcome).items():
        spent[client, task] = sum(
            (
                watts[phase][client] * (b - a)
                for phase, spans in spans_of(rows, outcome.ending.time_us).items()
                for a, b in spans
            ),
            Fraction(0),
        )
    usable: dict[int, Fraction] = {}
    idle_since: dict[int, int] = {}
    at_work: dict[int, int] = defaultdict(int)
    found = []
    for event in outcome.events:
        client, now = event.client, event.time_us
        battery = None if client < 0 else fleets[client].battery
        if battery is None:
            continue
        micro = 10**6 * Fraction(battery.capacity.constant)  # of a joule
        if event.kind == "dispatched":
            if client not in usable:
                share = battery.level.quantile(streams.uniform("battery.level", client), client)
                usable[client] = (Fraction(share) - Fraction(battery.low)) * micro
                idle_since[client] = life(world, client, outcome.ending.time_us)[0]
            if not at_work[client]:
                usable[client] -= watts["idle"][client] * max(0, now - idle_since[client])
            at_work[client] += 1
        elif event.kind in ("arrived", "cancelled", "failed"):
            at_work[client] -= 1
            usable[client] -= spent[client, event.task]
            if at_work[client]:
                continue
            idle_since[client] = now
            if usable[client] <= 0:
                full = now + round(10**6 * battery.charging.constant)
                found.append((client, now, full))
                usable[client] = (1 - Fraction(battery.low)) * micro
                idle_since[client] = full
    return found


def with_power(world: Scenario, power: dict[str, Any]) -> Scenario:
    """The world, with the same power laws in all groups."""
    block = Power(**power)
    groups = tuple(group.model_copy(update={"power": block}) for group in world.clients.groups)
    clients = world.clients.model_copy(update={"power": block, "groups": groups})
    return world.model_copy(update={"clients": clients})
