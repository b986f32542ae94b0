"""When clients are away because their batteries are charged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from afl_sim.recording import Run
from afl_sim.scenario.checks.parts import parts_of
from afl_sim.scenario.sections.clients import Clients
from afl_sim.world.event_kinds import AVAILABLE, UNAVAILABLE


def has_batteries(clients: Clients) -> bool:
    """Whether some of the clients have a battery."""
    return any(part.battery is not None for _, part in parts_of(clients))


def charged(
    run: Run, is_scheduled: Callable[[int, int], bool]
) -> Iterator[tuple[int, int, int | None]]:
    """When clients were charged: client, begin and end in microseconds; no end: the run's.

    The log says of a client that it goes away, but not why. If its availability has it there at
    that time, its battery is low.

    Args:
        run: of clients that have batteries.
        is_scheduled: whether a client's availability has it there at a microsecond.
    """
    begun: dict[int, int] = {}
    for batch in run.event_batches("time_us", "kind", "client"):
        kinds, times, clients = batch["kind"], batch["time_us"], batch["client"]
        for row in np.flatnonzero((kinds == UNAVAILABLE) | (kinds == AVAILABLE)).tolist():
            client, now = int(clients[row]), int(times[row])
            if kinds[row] == AVAILABLE:
                if client in begun:
                    yield client, begun.pop(client), now
            elif is_scheduled(client, now):
                begun.setdefault(client, now)
    for client, begin in begun.items():
        yield client, begin, None
