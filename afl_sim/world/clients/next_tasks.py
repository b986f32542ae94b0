"""Plans the tasks that will probably be sent next, many at once.

Where the times of a task do not depend on when it is sent, nor on other tasks, they are pure
functions of the client and the task's number. Those of a block of tasks are computed by a few
operations on arrays. One by one they would take a dozen calls of Python each.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.world.clients.durations import Durations, Ints
from afl_sim.world.clients.next_draws import next_numbers
from afl_sim.world.tasks.task import Plan
from afl_sim.world.tasks.workload import Workload

MOST_CLIENTS = 1 << 31
"""More cannot be told apart by the addresses of plans."""

_KEPT = 1 << 14  # plans of tasks that were not sent yet, at most: not all of them will be
_PLACES, _MOST_PLACES = 1 << 12, 1 << 17  # of clients whose common values are kept
_STEPS, _SAMPLES, _COMPUTE, _TRANSFERS = 0, 1, 2, slice(3, 9)  # columns of a plan


class NextTasks:
    """Plans tasks ahead, as they would be planned one by one.

    Args:
        durations: how long each leg takes; they are `Durations.in_blocks`.
        workload: how much work a task is; it is `Workload.alike`.
        sent: the number of tasks that each client was sent.
        plans: gets the plans, by ``client * 2**32 + number``. Who sends a task takes its plan.
        population: the number of clients.
    """

    def __init__(
        self,
        durations: Durations,
        workload: Workload,
        sent: Mapping[int, int],
        plans: dict[int, Plan],
        population: int,
    ) -> None:
        self._durations = durations
        self._compute = durations.compute(0)
        self._workload = workload
        self._sent = sent
        self._plans = plans
        # What all tasks of a client have in common is kept at the client's place: its index modulo
        # the number of places. The next client at that place takes it.
        self._most_places = min(population, _MOST_PLACES)
        self._places = min(population, _PLACES)
        self._displaced = 0
        self._at_place, self._plan_of, self._seconds_of = _empty(self._places)

    def expect(self, clients: Ints) -> None:
        """These clients are likely to be sent the next tasks, in this order."""
        numbers = next_numbers(clients, self._sent)
        places = clients % self._places
        plans, seconds = self._plan_of[places], self._seconds_of[places]
        new = self._at_place[places] != clients
        with np.errstate(all="ignore"):  # what is no duration is told when it is wanted
            if np.any(new):
                try:
                    plans[new], seconds[new] = self._common(clients[new])
                except ScenarioError:
                    return  # it is raised again if that task is sent
                self._keep(clients, plans, seconds)
            plans[:, _COMPUTE] = self._compute.all_microseconds(clients, numbers, seconds)
            if not self._durations.steady:
                plans[:, _TRANSFERS] = self._durations.all_transfers(clients, numbers)
        addresses, known = (clients << 32) + numbers, plans.min(axis=1) >= 0
        if not np.all(known):
            addresses, plans = addresses[known], plans[known]
        if len(self._plans) > _KEPT:
            self._plans.clear()
        self._plans.update(zip(addresses.tolist(), plans.tolist(), strict=True))

    def _keep(self, clients: Ints, plans: Ints, seconds: npt.NDArray[np.float64]) -> None:
        """Keep what the tasks of these clients have in common, at more places where they crowd."""
        before = self._at_place[clients % self._places]
        self._displaced += int(np.count_nonzero((before >= 0) & (before != clients)))
        if self._displaced > self._places // 2 and self._places < self._most_places:
            self._displaced = 0
            self._grow(min(2 * self._places, self._most_places))
        places = clients % self._places
        self._at_place[places] = clients
        self._plan_of[places], self._seconds_of[places] = plans, seconds

    def _grow(self, places: int) -> None:
        """Make room. No two clients that had places of their own get the same one."""
        kept = np.flatnonzero(self._at_place >= 0)
        clients, plans, seconds = self._at_place[kept], self._plan_of[kept], self._seconds_of[kept]
        self._places = places
        self._at_place, self._plan_of, self._seconds_of = _empty(places)
        at = clients % places
        self._at_place[at], self._plan_of[at], self._seconds_of[at] = clients, plans, seconds

    def _common(self, clients: Ints) -> tuple[Ints, npt.NDArray[np.float64]]:
        """What all tasks of a client have in common: plans, and seconds without jitter."""
        plans = np.zeros((len(clients), 9), dtype=np.int64)
        plans[:, _STEPS], plans[:, _SAMPLES] = self._workload.amounts(clients)
        seconds = self._compute.usual_of_all(clients, plans[:, _STEPS], plans[:, _SAMPLES])
        if self._durations.steady:
            plans[:, _TRANSFERS] = self._durations.all_transfers(clients, np.zeros_like(clients))
        return plans, seconds


def _empty(places: int) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """Places without clients: the client, its plan, and its seconds without jitter."""
    clients = np.full(places, -1, dtype=np.int64)
    return clients, np.zeros((places, 9), dtype=np.int64), np.zeros(places)
