"""ATA: a batch is divided among the workers by what has been learnt of their times."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import e, log, sqrt
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.scenario.units import DURATION
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Problems, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy, GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import Concurrency
from afl_sim.strategies.task_view import TaskView
from afl_sim.strategies.toolkit.server_optimizer import check_one_rate

LR = 0.05


@dataclass
class Times:
    """What the server has learnt of the workers' times; local to a schedule.

    Attributes:
        alpha: as in `ATA`.
        rounds: k, the number of rounds so far.
        counts: K_i, the number of gradients that a worker has sent.
        seconds: how long these have taken in all.
    """

    alpha: float | None
    rounds: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def learn(self, worker: int, seconds: float) -> None:
        """Take the time of one gradient into account."""
        self.counts[worker] = self.counts.get(worker, 0) + 1
        self.seconds[worker] = self.seconds.get(worker, 0.0) + seconds

    def bound(self, worker: int) -> float:
        """s_i: a lower bound on the worker's mean time (seconds), at least 0."""
        count = self.counts.get(worker, 0)
        if not count:
            return 0.0
        mean = self.seconds[worker] / count
        alpha = 2 * mean if self.alpha is None else self.alpha
        doubt = log(2.0 * self.rounds * self.rounds) / count
        return max(0.0, mean - 4 * e * alpha * (sqrt(doubt) + doubt))


@register("ata")
class ATA(GradientStrategy, ConcurrentStrategy):
    """Each round divides B gradients among the workers, so that it is over soonest.

    Maranjyan, Saad, Richtarik, Orabona, "ATA: Adaptive Task Allocation for Efficient Resource
    Management in Distributed Machine Learning", ICML 2025 (arXiv 2502.00775). In a round worker i
    computes a_i gradients at w, one after the other, with ``sum a_i = B``. When all are there,
    ``w <- w - (gamma / B) sum g``. No gradient is thrown away.

    The a_i minimise ``max_i a_i s_i``, where s_i is a lower confidence bound on the mean time of
    worker i's gradients: ``s_i = max(0, mean_i - 4 e alpha (sqrt(x_i) + x_i))`` with
    ``x_i = log(2 k^2) / K_i``. K_i is the number of gradients that the worker has sent in the k
    rounds so far. alpha bounds the spread of the times. ATA-Empirical has ``2 mean_i`` in its
    place, which is the default here (``alpha: null``).

    The gradients go one by one to the worker that would end first (`allocation`). As long as some
    s_i are 0, only their workers compute. Those that have sent none get one gradient each, and the
    rest is divided evenly; lots decide what cannot be.

    A time is that from sending the model until the gradient has arrived. A gradient that is lost is
    begun anew by the same worker. Workers that have left for good are left out.
    """

    about = About(
        "Maranjyan et al., ICML 2025 (arXiv 2502.00775)",
        "synchronous",
        keeps="nothing (a server optimizer: its moments)",
        checked="authors' code",
        source="vectozavr/ringmaster-lmo, "
        "code/experiments/asynchronous/algorithm.py (ATA, harmonia, discordia), at commit 9013e25",
    )

    concurrency: Concurrency = Field("all", description="workers, or all clients")
    batch_size: PositiveInt = Field(10, description="B: gradients per step")
    alpha: Annotated[PositiveFloat, DURATION] | None = Field(
        None,
        description="alpha: a bound on the sub-exponential norm of a worker's times (seconds); "
        "null: twice the worker's mean time so far",
    )
    lr: PositiveFloat = Field(LR, description="gamma: the server's step size")
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the mean gradient, in place of lr"
    )

    def check(self, clients: int) -> Problems:
        yield from super().check(clients)
        yield from check_one_rate("lr", self.lr, LR, self.server_optimizer)

    def schedule(self, server: ServerView) -> Schedule:
        workers = server.workers(self.in_parallel(server.clients))
        times = Times(self.alpha)
        while True:
            present = [worker for worker in workers if not server.is_gone(worker)]
            if not present:
                yield server.wait_idle(among=workers)
            batch: list[TaskView] = []
            numbers = self._numbers(server, present, times)
            yield from [
                server.spawn(self._gradients(server, worker, number, times, batch))
                for worker, number in zip(present, numbers, strict=True)
                if number
            ]
            times.rounds += 1
            yield server.aggregate(batch)

    def _numbers(self, server: ServerView, workers: list[int], times: Times) -> list[int]:
        """a_i of each of these workers in the next round."""
        lots = {worker: server.uniform("allocation", worker, times.rounds) for worker in workers}
        return allocation(
            [times.bound(worker) for worker in workers],
            [times.counts.get(worker, 0) for worker in workers],
            [lots[worker] for worker in workers],
            self.batch_size,
        )

    def _gradients(
        self, server: ServerView, worker: int, number: int, times: Times, batch: list[TaskView]
    ) -> Schedule:
        """A worker's gradients in a round, one after the other."""
        while number and not server.is_gone(worker):
            began = server.now
            arrived = yield server.wait([server.dispatch(worker, retry=False)])
            if arrived:
                times.learn(worker, server.now - began)
                batch += arrived
                number -= 1

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \frac{\gamma}{B} \sum_j g_j(w)$."""
        mean, state = self.direction(params, state, updates, context)
        return params + self.lr * mean, state

    def direction(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$-\frac{1}{B} \sum_j g_j(w)$."""
        return torch.stack([update.delta for update in updates]).mean(0), state


def allocation(
    bounds: Sequence[float], counts: Sequence[int], lots: Sequence[float], batch: int
) -> list[int]:
    """How many of ``batch`` gradients each worker computes, so that max a_i s_i is smallest.

    Args:
        bounds: s_i (seconds), at least 0.
        counts: K_i. A worker that has computed none has a bound of 0.
        lots: a number of each worker, by which they are ordered where nothing else does.
        batch: B.

    Example:
        Two gradients of the first worker take as long as one of the second:

        >>> allocation([1.0, 2.0], [5, 5], [0.0, 0.0], 6)
        [4, 2]
    """
    numbers = [0] * len(bounds)
    free = sorted((i for i, s in enumerate(bounds) if not s), key=lambda i: (lots[i], i))
    new = [i for i in free if not counts[i]]
    for i in new[:batch]:
        numbers[i] = 1
    batch -= sum(numbers)
    sharing = [i for i in free if counts[i]] or new
    if sharing:
        for place, i in enumerate(sharing):
            numbers[i] += batch // len(sharing) + (place < batch % len(sharing))
        return numbers
    ends = [(s, lots[i], i) for i, s in enumerate(bounds)]  # of each worker's next gradient
    heapq.heapify(ends)
    for _ in range(batch if ends else 0):
        _, lot, i = ends[0]
        numbers[i] += 1
        heapq.heapreplace(ends, (bounds[i] * (numbers[i] + 1), lot, i))
    return numbers
