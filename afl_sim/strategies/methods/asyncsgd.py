"""Asynchronous SGD: every gradient is applied at once."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from afl_sim.lazy import Tensor, torch
from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Problems, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy, GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import Concurrency
from afl_sim.strategies.toolkit.schedules import a_step_per_arrival
from afl_sim.strategies.toolkit.server_optimizer import check_one_rate

LR = 0.05


@register("asyncsgd")
class AsyncSGD(GradientStrategy, ConcurrentStrategy):
    """Each gradient is applied when it arrives, however stale it is.

    Mishchenko, Bach, Even, Woodworth, "Asynchronous SGD Beats Minibatch SGD Under Arbitrary
    Delays", NeurIPS 2022 (arXiv 2206.07638), Algorithm 1: when the gradient of worker i arrives,
    ``w <- w - gamma g_i(w_base)``. Worker i then continues at the new model.
    """

    about = About(
        "Mishchenko et al., NeurIPS 2022 (arXiv 2206.07638)",
        "asynchronous",
        keeps="nothing (a server optimizer: its moments)",
        checked="paper",
        source="the paper's text; also vectozavr/ringmaster-lmo, src/asynchronous/algorithm.py "
        "(AsynchronousSGD), by the authors of Ringmaster ASGD",
    )

    concurrency: Concurrency = Field("all", description="workers, or all clients")
    lr: PositiveFloat = Field(LR, description="gamma: the server's step size")
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the gradient, in place of lr"
    )

    def check(self, clients: int) -> Problems:
        yield from super().check(clients)
        yield from check_one_rate("lr", self.lr, LR, self.server_optimizer)

    def schedule(self, server: ServerView) -> Schedule:
        yield from a_step_per_arrival(server, server.workers(self.in_parallel(server.clients)))

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \gamma g_i(w_{\text{base}})$ for each gradient."""
        for update in updates:
            params = params + self.lr * update.delta
        return params, state

    def direction(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$-\sum_i g_i(w_{\text{base}})$."""
        return torch.stack([update.delta for update in updates]).sum(0), state
