"""Which clients are idle, and uniform draws among them, without a list of the population."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScheduleError
from afl_sim.streams import Streams
from afl_sim.world.tasks.task import Task

_BLOCK = 1024  # draws computed at a time


class IdleClients:
    """The clients that have no task, kept as the complement of those that do.

    If few are idle, they are also listed in order, from the first draw on that needs the list.

    Attributes:
        busy: the clients that have a task, with it.
        few: whether the idle ones are listed.

    Args:
        population: the number of clients.
        streams: the run's random streams; the n-th draw of a run is draw n of ``"selection"``.
    """

    def __init__(self, population: int, streams: Streams) -> None:
        self.population = population
        self.few = False
        self.busy: dict[int, Task] = {}
        self._listed: list[int] | None = None  # the idle clients in order, where few are
        self._streams = streams
        self._draws = 0
        self._block: list[float] = []  # draws that were made and not used yet, the next one last
        self._expect: Callable[[npt.NDArray[np.int64]], None] | None = None

    def watch(self, expect: Callable[[npt.NDArray[np.int64]], None]) -> None:
        """Call ``expect`` with clients that are likely to be drawn next, in this order."""
        self._expect = expect

    def __len__(self) -> int:
        return self.population - len(self.busy)

    def __contains__(self, client: int) -> bool:
        return client not in self.busy and 0 <= client < self.population

    def start(self, client: int, task: Task) -> None:
        """The client has a task, in place of the one it had, if any."""
        listed = self._listed
        if listed is not None and client not in self.busy:
            del listed[bisect_left(listed, client)]
        self.busy[client] = task

    def end(self, client: int) -> None:
        """The client is idle again."""
        del self.busy[client]
        if self.few:
            self.list_again(client)

    def list_again(self, client: int) -> None:
        """List a client that is no longer busy, where `few` are idle."""
        listed = self._listed
        assert listed is not None
        insort(listed, client)
        if len(listed) * 4 > self.population:
            self._listed, self.few = None, False  # drawn by rejection again

    def draw(self, n: int, among: Sequence[int] | None = None) -> list[int]:
        """``n`` different idle clients, uniformly at random and in random order.

        Fewer if fewer are idle.

        Args:
            n: how many.
            among: the clients to choose from; the whole population if None.
        """
        population, busy = self.population, self.busy
        if among is None and (population - len(busy)) * 8 >= population + 8 * n:
            if n != 1:  # 0 is asked for by schedules that replace nobody
                return self._draw_by_rejection(n)
            while True:  # most draws of a run are these: `_uniform` without a call
                if not self._block:
                    self._make_block()
                client = int(self._block.pop() * population)
                if client not in busy:
                    return [client]
        if among is not None:
            return self._choose(n, [client for client in among if client not in busy])
        if self._listed is None:
            self._listed, self.few = self.listed(), True
        return self._choose(n, self._listed)

    def listed(self) -> list[int]:
        """All idle clients, in order."""
        if self._listed is not None:
            return list(self._listed)
        free = np.ones(self.population, dtype=bool)
        free[np.fromiter(self.busy, dtype=np.int64, count=len(self.busy))] = False
        found: list[int] = np.flatnonzero(free).tolist()
        return found

    def sample(self, n: int) -> list[int]:
        """``n`` different clients out of all, idle or not."""
        if n > self.population:
            raise ScheduleError(f"cannot sample {n} of {self.population} clients")
        if 2 * n > self.population:
            return self._choose(n, range(self.population))
        chosen: dict[int, None] = {}
        while len(chosen) < n:
            chosen[int(self._uniform() * self.population)] = None
        return list(chosen)

    def _draw_by_rejection(self, n: int) -> list[int]:
        # At least an eighth of the population stays acceptable, so this ends after a few draws.
        busy, population = self.busy, self.population
        chosen: dict[int, None] = {}
        while len(chosen) < n:
            if not self._block:
                self._make_block()
            client = int(self._block.pop() * population)
            if client not in busy:
                chosen[client] = None
        return list(chosen)

    def _choose(self, n: int, pool: Sequence[int]) -> list[int]:
        """The first n of a Fisher-Yates shuffle, of which only the entries that moved are kept."""
        size = len(pool)
        moved: dict[int, int] = {}
        chosen: list[int] = []
        for i in range(min(n, size)):
            j = i + int(self._uniform() * (size - i))
            chosen.append(moved[j] if j in moved else pool[j])
            moved[j] = moved[i] if i in moved else pool[i]
        return chosen

    def _uniform(self) -> float:
        if not self._block:
            self._make_block()
        return self._block.pop()

    def _make_block(self) -> None:
        """Compute the next draws."""
        ahead = np.arange(self._draws, self._draws + _BLOCK)
        self._draws += _BLOCK
        draws = self._streams.uniforms("selection", 0, ahead)
        self._block = draws[::-1].tolist()
        if self._expect is not None and self._listed is None:
            self._expect((draws * self.population).astype(np.int64))
