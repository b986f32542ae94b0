"""An availability that holds for a share of the clients."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from afl_sim.streams import Streams
from afl_sim.world.availability.protocol import Availability, State


class ForSome:
    """An availability that holds for some of the clients; the others are always available.

    Args:
        inner: when those are available.
        affected: whether it holds for a client, bool (clients,).
    """

    def __init__(self, inner: Availability, affected: npt.NDArray[np.bool_]) -> None:
        self._inner = inner
        self._affected = affected

    def state(self, client: int, now_us: int) -> State:
        """By the rules that hold for the client."""
        return self._inner.state(client, now_us) if self._affected[client] else (True, None)


def chosen(share: float, clients: npt.NDArray[np.int64], streams: Streams) -> npt.NDArray[np.int64]:
    """A share of some clients, rounded to whole ones. A larger share contains a smaller one.

    Args:
        share: from 0 to 1.
        clients: their indices.
        streams: the run's; the draws are of ``"availability.clients"``.
    """
    draws = streams.uniforms("availability.clients", clients)
    order = np.argsort(draws, kind="stable")
    return clients[order[: round(share * len(clients))]]
