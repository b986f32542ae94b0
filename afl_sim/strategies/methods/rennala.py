"""Rennala SGD: a minibatch of the first gradients at one model, from any worker."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Problems, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy, GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import Concurrency
from afl_sim.strategies.toolkit.schedules import Late, batches_at_one_model
from afl_sim.strategies.toolkit.server_optimizer import check_one_rate

LR = 0.05


@register("rennala")
class Rennala(GradientStrategy, ConcurrentStrategy):
    """The server steps with the first B gradients at its model, and then all workers start anew.

    Tyurin, Richtarik, "Optimal Time Complexities of Parallel Stochastic Optimization Methods Under
    a Fixed Computation Model", NeurIPS 2023 (arXiv 2305.12387), Rennala SGD. All workers compute at
    w. A worker that has sent a gradient computes another one at the same w. After B gradients,
    ``w <- w - (gamma/B) sum g``. Gradients that are not ready are cancelled (``late: cancel``), or
    finished and then ignored (``late: discard``).
    """

    about = About(
        "Tyurin, Richtarik, NeurIPS 2023 (arXiv 2305.12387)",
        "semi-synchronous",
        keeps="nothing (a server optimizer: its moments)",
        checked="authors' code",
        source="vectozavr/ringmaster-lmo, src/asynchronous/algorithm.py (RennalaSGD)",
    )

    concurrency: Concurrency = Field("all", description="workers, or all clients")
    batch_size: PositiveInt = Field(10, description="B: gradients per step")
    lr: PositiveFloat = Field(LR, description="gamma: the server's step size")
    late: Late = Field(
        "cancel", description="gradients not ready at a step: cancel, or discard on arrival"
    )
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the mean gradient, in place of lr"
    )

    def check(self, clients: int) -> Problems:
        yield from super().check(clients)
        yield from check_one_rate("lr", self.lr, LR, self.server_optimizer)

    def schedule(self, server: ServerView) -> Schedule:
        workers = server.workers(self.in_parallel(server.clients))
        yield from batches_at_one_model(
            server, workers, lambda batch: len(batch) == self.batch_size, self.late
        )

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \frac{\gamma}{B} \sum_{j=1}^{B} g_j(w)$."""
        mean, state = self.direction(params, state, updates, context)
        return params + self.lr * mean, state

    def direction(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$-\frac{1}{B} \sum_{j=1}^{B} g_j(w)$."""
        return torch.stack([update.delta for update in updates]).sum(0) / self.batch_size, state
