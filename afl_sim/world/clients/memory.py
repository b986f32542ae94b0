"""Which batches fit into the memory of each client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.memory import Memory, TooSmall
from afl_sim.streams import Streams
from afl_sim.world.availability.protocol import Availability, State
from afl_sim.world.clients.grouping import grouping_of
from afl_sim.world.shuffles import with_shuffles

PURPOSE = "memory"
UNBOUNDED = 1 << 62
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Room:
    """What fits into the memory of clients, all of shape (clients,).

    Attributes:
        there: memory for training (bytes); infinite without a bound.
        most: the most samples in a batch; below 1 if not even one fits.
        rules: the index in `RULES` of what happens if a batch does not fit.
    """

    there: Floats
    most: Ints
    rules: npt.NDArray[np.uint8]

    def of(self, rule: TooSmall) -> Flags:
        """The clients with a rule."""
        found: Flags = self.rules == RULES.index(rule)
        return found


RULES: tuple[TooSmall, ...] = ("error", "smaller_batch", "absent")


def room(clients: Clients, streams: Streams, held: float, kept: float) -> Room:
    """What fits into the memory of each client.

    Args:
        clients: the scenario's section.
        streams: the run's random streams; the memory of a client is a draw of ``"memory"``.
        held: bytes that training holds whatever the batch.
        kept: bytes that it holds for each sample of a batch.
    """
    grouping = grouping_of(with_shuffles(clients, streams, "clients"), streams)
    there = np.full(clients.count, np.inf)
    rules = np.zeros(clients.count, dtype=np.uint8)
    for index, part in enumerate(grouping.parts):
        memory = part.clients.memory
        if memory is None or memory.bytes is None:
            continue
        mine = np.arange(clients.count)
        if grouping.members is not None:
            mine = np.flatnonzero(grouping.members == index)
        there[mine] = _drawn(memory, streams, mine)
        rules[mine] = RULES.index(memory.too_small)
    most = np.full(clients.count, float(UNBOUNDED))
    bounded = np.isfinite(there)
    most[bounded] = np.minimum(np.floor((there[bounded] - held) / max(kept, 1e-300)), UNBOUNDED)
    most[bounded & (there < held)] = 0
    return Room(there, np.maximum(most, 0).astype(np.int64), rules)


def _drawn(memory: Memory, streams: Streams, who: Ints) -> Floats:
    law = memory.bytes
    assert law is not None
    if law.constant is not None:
        return np.full(len(who), law.constant)
    return law.quantiles(streams.uniforms(PURPOSE, who), who)


class WithoutSome:
    """An availability of which some clients never are.

    Args:
        absent: who they are, shape (clients,).
        inner: when the others are available; None: always.
    """

    def __init__(self, absent: Flags, inner: Availability | None) -> None:
        self._absent = absent
        self._inner = inner

    def state(self, client: int, now_us: int) -> State:
        """Away for ever, or as for the others."""
        if self._absent[client]:
            return False, None
        return (True, None) if self._inner is None else self._inner.state(client, now_us)


def absent_clients(
    found: Room, batch: int | None, clients: int, samples_of: Callable[[int], int]
) -> Flags:
    """Who does not take part, because a step does not fit; bool (clients,).

    Args:
        found: what fits.
        batch: samples in a step; None for all that a client has.
        clients: their number.
        samples_of: the number of samples of a client.
    """
    absent = np.zeros(clients, dtype=np.bool_)
    for client in np.flatnonzero(found.of("absent")).tolist():
        held = samples_of(client)
        absent[client] = found.most[client] < (held if batch is None else min(batch, held))
    return absent
