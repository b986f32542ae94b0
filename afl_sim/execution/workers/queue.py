"""Decides which task is next: workers are shared out among runs first, then among their tasks."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import Generic, TypeVar

Item = TypeVar("Item")
Order = tuple[int, int]  # when the result is due, then the order of submission


class FairQueue(Generic[Item]):
    """Tasks of several runs that wait for a worker.

    The run with the fewest tasks at workers is served first; among several such runs, the one whose
    last turn is longest ago. Within a run, the task that is due first is served first.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, list[tuple[Order, Item]]] = {}
        self._in_hand: Counter[int] = Counter()
        self._last_turn: dict[int, int] = {}
        self._turns = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def push(self, run: int, order: Order, item: Item) -> None:
        """Add a task of a run. No two waiting tasks of a run have the same order."""
        heapq.heappush(self._waiting.setdefault(run, []), (order, item))

    def pop(self) -> Item | None:
        """Take the next task out of the queue, for a worker; None if none waits."""
        waiting = [run for run, tasks in self._waiting.items() if tasks]
        if not waiting:
            return None
        run = min(waiting, key=lambda run: (self._in_hand[run], self._last_turn.get(run, 0)))
        self._turns += 1
        self._last_turn[run] = self._turns
        self._in_hand[run] += 1
        return heapq.heappop(self._waiting[run])[1]

    def release(self, run: int) -> None:
        """Note that a task of this run is no longer at a worker."""
        self._in_hand[run] -= 1

    def forget(self, run: int) -> None:
        """Forget a run and its waiting tasks."""
        self._waiting.pop(run, None)
        self._last_turn.pop(run, None)
