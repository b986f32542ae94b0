"""Plans the tasks that will probably be sent next, many at once.

Where the times of a task do not depend on when it is sent, nor on other tasks, they are pure
functions of the client and the task's number. Those of a block of tasks are computed by a few
operations on arrays. One by one they would take a dozen calls of Python each.
"""

from __future__ import annotations

from array import array

import numpy as np

from afl_sim.errors import ScenarioError
from afl_sim.world.clients.durations import UNKNOWN, Durations, Ints, Transfers
from afl_sim.world.clients.next_draws import next_numbers
from afl_sim.world.tasks.workload import Workload

Plan = tuple[tuple[int, int], int, Transfers]
"""Of a task: its steps and samples, the microseconds of its computation, and its transfers."""

_KEPT = 1 << 14  # plans of tasks that were not sent yet, at most: not all of them will be


class NextTasks:
    """Plans tasks ahead, as they would be planned one by one.

    Args:
        durations: how long each leg takes; they are `Durations.in_blocks`.
        workload: how much work a task is; it is `Workload.alike`.
        sent: the number of tasks that each client was sent.
        plans: gets the plans, by ``client * 2**32 + number``. Who sends a task takes its plan.
    """

    def __init__(
        self,
        durations: Durations,
        workload: Workload,
        sent: array[int],
        plans: dict[int, Plan],
    ) -> None:
        self._durations = durations
        self._compute = durations.compute(0)
        self._workload = workload
        self._sent = sent
        self._plans = plans
        # Of clients: what all of their tasks have in common.
        self._common: dict[int, tuple[tuple[int, int], float, Transfers]] = {}

    def expect(self, clients: Ints) -> None:
        """These clients are likely to be sent the next tasks, in this order."""
        asked = clients.tolist()
        if len(self._common) + len(asked) > _KEPT:
            self._common.clear()
        common = list(map(self._common.get, asked))
        new = [client for client, found in zip(asked, common, strict=True) if found is None]
        numbers = next_numbers(clients, self._sent)
        with np.errstate(all="ignore"):  # what is no duration is told when it is wanted
            if new:
                try:
                    self._meet(list(dict.fromkeys(new)))
                except ScenarioError:
                    return  # it is raised again if that task is sent
                common = list(map(self._common.get, asked))
            amounts, seconds, transfers = zip(*common, strict=True)
            compute_us = self._compute.all_microseconds(clients, numbers, np.array(seconds))
            if not self._durations.steady:
                transfers = tuple(self._durations.all_transfers(clients, numbers))
        if len(self._plans) > _KEPT:
            self._plans.clear()
        addresses = ((clients << 32) + numbers).tolist()
        plans = zip(amounts, compute_us.tolist(), transfers, strict=True)
        self._plans.update(zip(addresses, plans, strict=True))
        for index in np.flatnonzero(compute_us < 0).tolist():
            self._plans.pop(addresses[index], None)
        if UNKNOWN in transfers:
            for address, each in zip(addresses, transfers, strict=True):
                if each is UNKNOWN:
                    self._plans.pop(address, None)

    def _meet(self, asked: list[int]) -> None:
        """Compute what all tasks of these clients have in common."""
        clients = np.array(asked)
        amounts = [self._workload.amount(client, 0) for client in asked]
        steps, samples = np.array(amounts, dtype=np.int64).T
        seconds = self._compute.usual_of_all(clients, steps, samples)
        transfers = [UNKNOWN] * len(asked)
        if self._durations.steady:
            transfers = self._durations.all_transfers(clients, np.zeros_like(clients))
        rows = zip(amounts, seconds.tolist(), transfers, strict=True)
        self._common.update(zip(asked, rows, strict=True))
