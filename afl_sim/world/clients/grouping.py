"""Which laws hold for which client: the groups of a fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.compute import Compute
from afl_sim.scenario.sections.group_members import Members, members
from afl_sim.streams import Streams
from afl_sim.world.clients.devices import (
    Together,
    links_in_traces,
    places_in_availability,
    sample_counts,
    with_devices,
)
from afl_sim.world.shuffles import with_shuffles
from afl_sim.world.speed import SPEED
from afl_sim.world.tasks.roofline import Roofline, StepCost

S = TypeVar("S", bound=BaseModel)
T = TypeVar("T")
Place = Callable[[int], int]
"""The row of a client in whatever lists the clients of its group."""


@dataclass(frozen=True)
class Part:
    """Clients for which the same laws hold.

    Attributes:
        clients: the section as it holds for them, whose lists are asked by the client's index.
        place: the place of each of them among them.
        presence: the client of a trace of availability that each of them is.
        links: the link of a trace of bandwidth that each of them has, by direction, where devices
            say so.
    """

    clients: Clients
    place: Place
    presence: Place
    links: Mapping[str, Place]


@dataclass(frozen=True)
class Grouping:
    """The parts of a fleet.

    Attributes:
        parts: one for each group; a single one without groups.
        members: the part of each client, shape (clients,); None without groups.
    """

    parts: tuple[Part, ...]
    members: Members | None

    def choose(self, parts: Sequence[T]) -> Callable[[int], T]:
        """Gives a client's one of what there is for each part."""
        members, first = self.members, parts[0]
        if members is None:
            return lambda client: first
        return lambda client: parts[members[client]]


def grouping_of(clients: Clients, streams: Streams) -> Grouping:
    """The parts of the fleet that a scenario describes.

    Args:
        clients: the scenario's section, with its lists in their order (`with_shuffles`).
        streams: the run's random streams.
    """
    if not clients.groups:
        return Grouping((_part(clients, streams, _own),), None)
    found = members(clients.groups, clients.count, streams)
    return Grouping(tuple(_parts(clients, found, streams)), found)


def _part(
    clients: Clients, streams: Streams, place: Place, together: Together | None = None
) -> Part:
    measured = with_devices(clients, streams, place, together)
    return Part(
        measured,
        place,
        places_in_availability(clients, streams, place, together),
        links_in_traces(clients, streams, place, together),
    )


def _parts(clients: Clients, found: Members, streams: Streams) -> Iterator[Part]:
    """The part of each group."""
    groups = clients.groups
    place = _ranks([np.flatnonzero(found == index) for index in range(len(groups))], clients.count)
    for index, group in enumerate(groups):
        section = _placed(clients.of_group(group), place)
        yield _part(section, streams, place, _together(index, clients, found))


def _together(index: int, clients: Clients, found: Members) -> Together | None:
    """Those who share the devices of a group; None where that does not matter."""
    trace = clients.groups[index].devices
    if trace is None or trace.replacement:
        return None
    alike = [i for i, group in enumerate(clients.groups) if group.devices == trace]
    sharing = np.flatnonzero(np.isin(found, alike))
    return Together(len(sharing), _ranks([sharing], clients.count))


def _ranks(parts: Sequence[npt.NDArray[np.int64]], count: int) -> Place:
    """The place of each client in its part."""
    rank = np.zeros(count, dtype=np.int64)
    for part in parts:
        rank[part] = np.arange(len(part))
    return rank.item


def _own(client: int) -> int:
    return client


def _placed(section: S, place: Place) -> S:
    """The section, in which every list of clients is asked by the client's place in its group."""
    changes = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        new = _placed_value(value, place)
        if new is not value:
            changes[name] = new
    return section.model_copy(update=changes) if changes else section


def _placed_value(value: Any, place: Place) -> Any:
    if isinstance(value, Distribution) and value.length is not None:
        return value.placed(place)
    if isinstance(value, BaseModel):
        return _placed(value, place)
    return value


def speeds(
    clients: Clients, streams: Streams, cost: StepCost | None = None, batch: int | None = None
) -> tuple[float, ...]:
    """The persistent speed of every client, in seconds per sample, step or task.

    Args:
        clients: the scenario's section.
        streams: the run's random streams.
        cost: of a local step; needed only where clients have operations per second.
        batch: samples in such a step; None for a large one.
    """
    grouping = grouping_of(with_shuffles(clients, streams, "clients"), streams)
    found = [_speed(part.clients.compute, streams, cost, batch) for part in grouping.parts]
    speed_of = grouping.choose(found)
    return tuple(speed_of(client)(client) for client in range(clients.count))


def _speed(
    compute: Compute, streams: Streams, cost: StepCost | None, batch: int | None
) -> Callable[[int], float]:
    if compute.unit == "flop":
        roofline = Roofline(compute, cost, streams)
        return lambda client: roofline.seconds_per_sample(client, batch)
    return lambda client: draw(compute.speed, streams, SPEED, client)


def samples_by_devices(clients: Clients, streams: Streams) -> npt.NDArray[np.int64]:
    """How many samples each client holds, as its device says; int64 (clients.count,)."""
    if not clients.groups:
        everyone = np.arange(clients.count)
        return sample_counts(clients, streams, everyone, _own)
    found = members(clients.groups, clients.count, streams)
    counts = np.empty(clients.count, dtype=np.int64)
    for index, group in enumerate(clients.groups):
        mine = np.flatnonzero(found == index)
        place = _ranks([mine], clients.count)
        together = _together(index, clients, found)
        section = clients.of_group(group)
        counts[mine] = sample_counts(section, streams, mine, place, together)
    return counts
