"""Rescaled ASGD: asynchronous SGD whose workers step in proportion to the time that they take."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveFloat

from afl_sim.errors import ScheduleError
from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy, GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import Concurrency


@register("rescaled_asgd")
class RescaledASGD(GradientStrategy, ConcurrentStrategy):
    """Each gradient is applied when it arrives, with a step in proportion to its worker's time.

    Mahran, Maranjyan, Richtarik, "Rescaled Asynchronous SGD: Optimal Distributed Optimization under
    Data and System Heterogeneity", 2026 (arXiv 2605.13434). When the gradient of worker i arrives,
    ``w <- w - gamma_i g_i(w_base)``, and worker i continues at the new model. gamma_i is in
    proportion to tau_i, the mean time of the worker's tasks. Worker i arrives 1/tau_i times a
    second, so all workers have the same sum of steps in the long run, and fast ones do not pull the
    model to their data.

    Here ``gamma_i = gamma tau_i (1/n) sum_j 1/tau_j`` over the n workers. So gamma is the mean step
    of all arrivals, and equal workers make this asynchronous SGD.
    """

    about = About(
        "Mahran, Maranjyan, Richtarik, 2026 (arXiv 2605.13434)",
        "asynchronous",
        unconfirmed="the constant in gamma_i, which only gives gamma its meaning: of the paper "
        "only the abstract and the beginning of the introduction were found, and no code. They say "
        "that steps are in proportion to the computation times, and that their sum over a cycle is "
        "the same for all workers",
    )
    needs_mean_times = True
    optimizer_gets: ClassVar = "nothing"

    concurrency: Concurrency = Field("all", description="workers, or all clients")
    lr: PositiveFloat = Field(0.05, description="gamma: the mean step size over all arrivals")

    def schedule(self, server: ServerView) -> Schedule:
        workers = server.workers(self.in_parallel(server.clients))
        tau = {worker: server.expected_seconds(worker) for worker in workers}
        for worker in workers:
            if not tau[worker]:
                raise ScheduleError(
                    f"strategy {self.kind}: steps in proportion to time need tasks that take time, "
                    f"and client {worker}'s take none"
                )
        rate = sum(1 / seconds for seconds in tau.values())
        arrivals = rate / max(len(tau), 1)  # a second, by a worker; there may be none at all
        server.dispatch(workers)
        while True:
            update = yield server.arrival()
            yield server.aggregate([update], factor=tau[update.client] * arrivals)
            server.dispatch(update.client)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \gamma_i g_i(w_{\text{base}})$.

        $\gamma_i = \gamma \tau_i \frac{1}{n} \sum_j \frac{1}{\tau_j}$.
        """
        for update in updates:  # a gradient task's delta is -g
            params = params + self.lr * context["factor"] * update.delta
        return params, state
