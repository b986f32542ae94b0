"""Which laws hold for which client: the groups of a fleet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.groups import Members, members
from afl_sim.streams import Streams
from afl_sim.world.clients.devices import with_devices
from afl_sim.world.shuffles import with_shuffles
from afl_sim.world.speed import SPEED

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
    """

    clients: Clients
    place: Place


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
        return Grouping((Part(with_devices(clients, streams, _own), _own),), None)
    groups = clients.groups
    found = members(groups, clients.count, streams)
    rank = np.empty(clients.count, dtype=np.int64)
    for index in range(len(groups)):
        mine = np.flatnonzero(found == index)
        rank[mine] = np.arange(len(mine))
    place = rank.item
    parts = tuple(
        Part(with_devices(_placed(clients.of_group(group), place), streams, place), place)
        for group in groups
    )
    return Grouping(parts, found)


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


def speeds(clients: Clients, streams: Streams) -> tuple[float, ...]:
    """The persistent speed of every client, in seconds per sample, step or task."""
    grouping = grouping_of(with_shuffles(clients, streams, "clients"), streams)
    laws = [part.clients.compute.speed for part in grouping.parts]
    law_of = grouping.choose(laws)
    return tuple(draw(law_of(client), streams, SPEED, client) for client in range(clients.count))
