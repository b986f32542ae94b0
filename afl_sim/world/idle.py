"""Which clients are idle, and uniform draws among them, without a list of the population."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from afl_sim.errors import ScheduleError
from afl_sim.streams import Streams
from afl_sim.world.dispatch import Dispatch


class IdleClients:
    """The clients that have no task, kept as the complement of those that do.

    Args:
        population: the number of clients.
        streams: the run's random streams; the n-th draw of a run is draw n of ``"selection"``.
    """

    def __init__(self, population: int, streams: Streams) -> None:
        self.population = population
        self.busy: dict[int, Dispatch] = {}
        self._streams = streams
        self._draws = 0

    def __len__(self) -> int:
        return self.population - len(self.busy)

    def __contains__(self, client: int) -> bool:
        return client not in self.busy and 0 <= client < self.population

    def draw(self, n: int, among: Sequence[int] | None = None) -> list[int]:
        """``n`` different idle clients, uniformly at random and in random order.

        Fewer, where fewer are idle.

        Args:
            n: how many.
            among: the clients to choose from; the whole population if None.
        """
        if among is None and len(self) * 8 >= self.population + 8 * n:
            return self._draw_by_rejection(n)
        if among is not None:
            idle = [client for client in among if client not in self.busy]
        else:
            free = np.ones(self.population, dtype=bool)
            free[np.fromiter(self.busy, dtype=np.int64, count=len(self.busy))] = False
            idle = np.flatnonzero(free).tolist()
        return self._choose(n, idle)

    def sample(self, n: int) -> list[int]:
        """``n`` different clients out of all, idle or not."""
        if n > self.population:
            raise ScheduleError(f"cannot sample {n} of {self.population} clients")
        if 2 * n > self.population:
            return self._choose(n, list(range(self.population)))
        chosen: dict[int, None] = {}
        while len(chosen) < n:
            chosen[self._candidate()] = None
        return list(chosen)

    def _draw_by_rejection(self, n: int) -> list[int]:
        # At least an eighth of the population stays acceptable, so this ends after a few draws.
        chosen: dict[int, None] = {}
        while len(chosen) < n:
            client = self._candidate()
            if client not in self.busy:
                chosen[client] = None
        return list(chosen)

    def _choose(self, n: int, pool: list[int]) -> list[int]:
        """The first n of a Fisher-Yates shuffle."""
        n = min(n, len(pool))
        for i in range(n):
            j = i + int(self._uniform() * (len(pool) - i))
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:n]

    def _candidate(self) -> int:
        return int(self._uniform() * self.population)

    def _uniform(self) -> float:
        self._draws += 1
        return self._streams.uniform("selection", 0, self._draws - 1)
