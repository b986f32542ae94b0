"""When the clients of a fleet are available, each by the rules of its group."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.group_members import Members
from afl_sim.streams import Streams
from afl_sim.world.availability.protocol import Availability, State
from afl_sim.world.availability.some_clients import chosen
from afl_sim.world.availability.timelines import Always, build
from afl_sim.world.clients.grouping import Grouping, grouping_of
from afl_sim.world.shuffles import with_shuffles


class AvailabilityByGroup:
    """When clients are available, where each group has a model of its own.

    Args:
        of: gives the model of a client.
    """

    def __init__(self, of: Callable[[int], Availability]) -> None:
        self._of = of

    def state(self, client: int, now_us: int) -> State:
        """Whether the client is available, and until when at least."""
        return self._of(client).state(client, now_us)


def attendance(grouping: Grouping, streams: Streams) -> Availability | None:
    """When the clients of a fleet are available; None if they always are.

    Args:
        grouping: the parts of the fleet.
        streams: the run's random streams.
    """
    found = [
        build(
            part.clients.availability,
            streams,
            part.presence,
            _affected(part.clients, grouping.members, index, streams),
        )
        for index, part in enumerate(grouping.parts)
    ]
    if all(part is None for part in found):
        return None
    return in_parts([Always() if part is None else part for part in found], grouping)


def _affected(
    clients: Clients, members: Members | None, index: int, streams: Streams
) -> npt.NDArray[np.bool_] | None:
    """Whether a part's availability holds for a client; None if it holds for all of the part."""
    share = clients.availability.share_of_clients
    if share == 1:
        return None
    part = np.arange(clients.count) if members is None else np.flatnonzero(members == index)
    affected = np.zeros(clients.count, dtype=np.bool_)
    affected[chosen(share, part, streams)] = True
    return affected


def in_parts(parts: Sequence[Availability], grouping: Grouping) -> Availability:
    """The availability of a fleet with these parts."""
    if grouping.members is None:
        return parts[0]
    return AvailabilityByGroup(grouping.choose(parts))


def attendance_of(clients: Clients, streams: Streams) -> Availability | None:
    """`attendance` of the fleet that a scenario's section describes."""
    return attendance(grouping_of(with_shuffles(clients, streams, "clients"), streams), streams)
