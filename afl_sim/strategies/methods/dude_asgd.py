"""DuDe-ASGD: the mean of all workers' last gradients, renewed for a few workers at a time."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor
from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Population,
    Problems,
    Schedule,
    ServerView,
    State,
    Step,
    Updates,
)
from afl_sim.strategies.bases import GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import check_at_most
from afl_sim.strategies.task_view import TaskView
from afl_sim.strategies.toolkit.gradient_table import empty, mean_of_means, replaced
from afl_sim.strategies.toolkit.server_optimizer import check_one_rate

LR = 0.05


@register("dude_asgd")
class DuDeASGD(GradientStrategy):
    """When c workers have finished, the step is the mean of all workers' last gradients.

    Wang, Sun, Wai, Zhang, "Dual-Delayed Asynchronous SGD for Arbitrarily Heterogeneous Data", 2024
    (arXiv 2405.16966; INFORMS Journal on Computing 2026 as DuDe-SGD). C_t are the workers whose
    gradients arrive for iteration t. The server renews their part of the mean,
    ``g <- g + (1/n) sum_{j in C_t} (g_j_new - g_j)``, makes the step ``w <- w - eta g``, and sends
    w to the workers in C_t. ``workers_per_step: 1`` is the fully asynchronous algorithm, a larger c
    the semi-asynchronous one, in which workers wait for the step.

    The first step is made of gradients of all workers at the initial model.
    """

    about = About(
        "Wang et al., 2024 (arXiv 2405.16966)",
        "semi-synchronous",
        keeps="each worker's last gradient (a server optimizer: its moments)",
        unconfirmed="the semi-asynchronous form (c workers, who wait for the step) and the first "
        "step of all workers, known from secondary sources: of the paper, and of its version in a "
        "journal, only the abstracts were found, and no code. They confirm the mean of the stale "
        "gradients of all workers and its incremental aggregation",
    )
    waits_for_all = True

    lr: PositiveFloat = Field(LR, description="eta: the server's step size")
    workers_per_step: PositiveInt = Field(1, description="c: workers whose gradients make a step")
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the mean gradient, in place of lr"
    )

    def check(self, clients: int) -> Problems:
        yield from check_at_most("workers_per_step", self.workers_per_step, clients)
        yield from check_one_rate("lr", self.lr, LR, self.server_optimizer)

    def schedule(self, server: ServerView) -> Schedule:
        server.dispatch(server.workers(server.clients))
        quota = server.clients
        while True:
            finished: list[TaskView] = []
            while len(finished) < quota:
                finished.append((yield server.arrival()))
            yield server.aggregate(finished)
            server.dispatch([update.client for update in finished])
            quota = self.workers_per_step

    def initial_state(self, params: Tensor, population: Population) -> State:
        return empty(params)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \eta \frac{1}{n} \sum_i g_i$, with new $g_j$ of workers in $C_t$."""
        direction, table = self.direction(params, state, updates, context)
        return params + self.lr * direction, table

    def direction(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$-\frac{1}{n} \sum_i g_i$."""
        table = replaced(state, updates)
        return mean_of_means(table), table
