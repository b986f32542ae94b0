"""Rennala MVR: the batches of Rennala SGD, with a momentum that reduces their variance."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Client,
    Context,
    Population,
    Schedule,
    ServerView,
    State,
    Step,
    Updates,
)
from afl_sim.strategies.bases import ConcurrentStrategy, GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import Concurrency
from afl_sim.strategies.task_view import TaskView
from afl_sim.strategies.toolkit.schedules import Late, batches_at_one_model


@register("rennala_mvr")
class RennalaMVR(GradientStrategy, ConcurrentStrategy):
    """Rennala SGD whose batches correct a momentum, by gradients at the model and the one before.

    Tovmasyan, Maranjyan, Richtarik, "Rennala MVR: Improved Time Complexity for Parallel Stochastic
    Optimization via Momentum-Based Variance Reduction", 2026 (arXiv 2605.08871). The server
    collects batches as in Rennala SGD: the first B gradients of all workers at w_t. For each of
    them the worker also computes the gradient of the same samples at w_{t-1}. The momentum is that
    of STORM (Cutkosky, Orabona, NeurIPS 2019, arXiv 1905.10018):
    ``v_t = (1/B) sum g_j(w_t) + (1 - a) (v_{t-1} - (1/B) sum g_j(w_{t-1}))``, and
    ``w_{t+1} = w_t - gamma v_t``. With ``a = 1`` this is Rennala SGD.

    The first batch, of ``first_batch_size`` gradients, has no model before it:
    ``v_0 = (1/B) sum g_j(w_0)``. Workers send ``g_j(w_t) - (1 - a) g_j(w_{t-1})`` as one vector.
    A local step computes two gradients, and takes twice as long as a step of Rennala SGD. This
    includes the steps of the first batch. Only w_t is downloaded: w_{t-1} is taken to be there.
    """

    about = About(
        "Tovmasyan, Maranjyan, Richtarik, 2026 (arXiv 2605.08871)",
        "semi-synchronous",
        keeps="the momentum and the model before",
        unconfirmed="the algorithm's text: only the abstract and Table 1 were found, "
        "which call it Rennala SGD with momentum-based variance reduction; the momentum is the "
        "one of that name. So open are the first batch, and whether a pair of gradients takes "
        "twice the time. The inexact variant of the paper's experiments with networks was not "
        "found and is not here; the authors' repository vectozavr/ringmaster-lmo has only the "
        "method's name",
    )
    optimizer_gets = "nothing"
    gradients_per_step = 2

    concurrency: Concurrency = Field("all", description="workers, or all clients")
    batch_size: PositiveInt = Field(10, description="B: gradients per step")
    first_batch_size: PositiveInt | None = Field(
        None, description="gradients of the first step; null: as many as of the others"
    )
    momentum: float = Field(
        0.1, gt=0, le=1, description="a: the weight of new gradients; 1 keeps nothing of old ones"
    )
    lr: PositiveFloat = Field(0.05, description="gamma: the server's step size")
    late: Late = Field(
        "cancel", description="gradients not ready at a step: cancel, or discard on arrival"
    )

    def schedule(self, server: ServerView) -> Schedule:
        workers = server.workers(self.in_parallel(server.clients))
        first = self.first_batch_size or self.batch_size

        def enough(batch: list[TaskView]) -> bool:
            return len(batch) == (self.batch_size if server.version else first)

        yield from batches_at_one_model(server, workers, enough, self.late)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"before": None, "v": torch.zeros_like(params)}

    def second_point(
        self, params: Tensor, state: State, client: Client
    ) -> tuple[Tensor, float] | None:
        """$w_{t-1}$, at which the gradient counts $1 - a$ times; there is none at first."""
        before = state["before"]
        return None if before is None else (before, 1 - self.momentum)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w_{t+1} = w_t - \gamma v_t$.

        $v_t = \frac{1}{B} \sum_j \left(g_j(w_t) - (1 - a) g_j(w_{t-1})\right) + (1 - a) v_{t-1}$.
        """
        mean = torch.stack([update.delta for update in updates]).mean(0)  # of what is negative
        v = (1 - self.momentum) * state["v"] - mean
        return params - self.lr * v, {"before": params, "v": v}
