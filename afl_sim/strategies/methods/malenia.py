"""Malenia SGD: one step after every client has sent gradients at the same model."""

from __future__ import annotations

from collections import Counter

from pydantic import Field, PositiveFloat

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.task_view import TaskView
from afl_sim.strategies.toolkit.gradient_table import empty, mean_of_means, tabulated
from afl_sim.strategies.toolkit.schedules import Late, batches_at_one_model


@register("malenia")
class Malenia(GradientStrategy):
    """The server waits for gradients of every client at its model, and then makes one step.

    Tyurin, Richtarik, "Optimal Time Complexities of Parallel Stochastic Optimization Methods Under
    a Fixed Computation Model", NeurIPS 2023 (arXiv 2305.12387), Malenia SGD. Each client sends as
    many gradients at w as it can, until the harmonic mean of their numbers B_i is greater than S/n.
    Then ``w <- w - gamma (1/n) sum_i mean_i``, where mean_i is the mean gradient of client i, and
    all clients start anew. A client that has sent none makes the harmonic mean 0. With S = 0, the
    default, the server thus waits until each client has sent one, as in the authors' code of
    Ringleader ASGD.
    """

    about = About(
        "Tyurin, Richtarik, NeurIPS 2023 (arXiv 2305.12387)",
        "synchronous",
        checked="authors' code",
        source="vectozavr/ringmaster-lmo, src/asynchronous/algorithm.py (MaleniaSGD); the "
        "condition on S/n: the authors' later text, Algorithm 1",
    )
    waits_for_all = True
    waits_again = True

    lr: PositiveFloat = Field(0.5, description="gamma: the server's step size")
    batch: float = Field(
        0.0,
        ge=0,
        description="S/n: a step comes when the harmonic mean of the clients' numbers of gradients "
        "is greater",
    )
    late: Late = Field(
        "cancel", description="gradients not ready at a step: cancel, or discard on arrival"
    )

    def schedule(self, server: ServerView) -> Schedule:
        counts: Counter[int] = Counter()

        def enough(batch: list[TaskView]) -> bool:
            if len(batch) == 1:
                counts.clear()
            counts[batch[-1].client] += 1
            if len(counts) < server.clients:
                return False
            return len(counts) / sum(1 / n for n in counts.values()) > self.batch + 1e-9

        yield from batches_at_one_model(server, server.workers(server.clients), enough, self.late)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \gamma \frac{1}{n} \sum_i \frac{1}{B_i} \sum_j g_{ij}(w)$.

        The step comes when $\left(\frac{1}{n} \sum_i \frac{1}{B_i}\right)^{-1} > \frac{S}{n}$.
        """
        return params + self.lr * mean_of_means(tabulated(empty(params), updates)), state
