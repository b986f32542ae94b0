"""Makes the draws of the clients that are likely to be sent the next tasks, many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat

import numpy as np
import numpy.typing as npt

from afl_sim.streams import Streams


class NextDraws:
    """Draws ahead what the next tasks of clients need.

    This changes no draw, only when it is made.

    Args:
        streams: the run's random streams.
        per_task: purposes of which each task of a client has a draw, by its number.
        per_client: purposes of which a client has one draw, before its first task.
        sent: the number of tasks that each client was sent.
    """

    def __init__(
        self,
        streams: Streams,
        per_task: Sequence[str],
        per_client: Sequence[str],
        sent: Mapping[int, int],
    ) -> None:
        self._streams = streams
        self._per_task = per_task
        self._per_client = per_client
        self._sent = sent
        for purpose in (*per_task, *per_client):
            streams.draw_ahead(purpose)

    def expect(self, clients: npt.NDArray[np.int64]) -> None:
        """These clients are likely to be sent the next tasks, in this order."""
        numbers = next_numbers(clients, self._sent)
        new = clients[numbers == 0]
        if len(new):
            for purpose in self._per_client:
                self._streams.make(purpose, new, 0)
        for purpose in self._per_task:
            self._streams.make(purpose, clients, numbers)


def next_numbers(clients: npt.NDArray[np.int64], sent: Mapping[int, int]) -> npt.NDArray[np.int64]:
    """The numbers that these tasks will have, if they are sent in this order.

    Args:
        clients: whose tasks they are.
        sent: the number of tasks that each client was sent.
    """
    numbers = map(sent.get, clients.tolist(), repeat(0))
    return np.fromiter(numbers, np.int64, len(clients)) + _earlier(clients)


def _earlier(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many of the values before each one are equal to it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    index = np.arange(len(values))
    found = np.empty_like(index)
    found[order] = index - np.repeat(begins, np.diff(np.r_[begins, len(values)]))
    return found
