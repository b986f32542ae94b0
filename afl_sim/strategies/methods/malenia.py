"""Malenia SGD: one step once every client has sent gradients at the same model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import ServerView, State, Strategy, Update
from afl_sim.strategies.methods.rennala import Late, batches_at_one_model
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.gradient_table import empty, mean_of_means, tabulated


@register("malenia")
class Malenia(Strategy):
    """The server waits for gradients of every client at its model, then steps once.

    Tyurin, Richtarik, "Optimal Time Complexities of Parallel Stochastic Optimization Methods Under
    a Fixed Computation Model", NeurIPS 2023 (arXiv 2305.12387), Malenia SGD: clients send gradients
    at w, as many as each manages, until the harmonic mean of their numbers B_i is at least S/n;
    then ``w <- w - gamma (1/n) sum_i mean_i``, mean_i being that of client i's gradients. All
    start anew. With S = n, the default, it waits until every client has sent one.

    A task's gradient is the mean over its mini-batches, all taken at the downloaded model:
    ``training: {steps: 1}`` makes it one stochastic gradient. ``training.optimizer`` plays no part.
    """

    about = About(
        "Tyurin, Richtarik, NeurIPS 2023 (arXiv 2305.12387)",
        "synchronous",
        unconfirmed="the condition on S/n",
    )
    gradient: ClassVar[bool] = True

    lr: PositiveFloat = Field(0.5, description="gamma: the server's step size")
    batch: float = Field(
        1.0, ge=1, description="S/n: the harmonic mean of the clients' gradients per step"
    )
    late: Late = Field(
        "cancel", description="what is under way at a step: cancel, or discard on arrival"
    )

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        counts: Counter[int] = Counter()

        def enough(batch: list[Any]) -> bool:
            if len(batch) == 1:
                counts.clear()
            counts[batch[-1].client] += 1
            if len(counts) < server.clients:
                return False
            return len(counts) / sum(1 / n for n in counts.values()) >= self.batch - 1e-9

        everyone = server.workers(server.clients)
        yield from batches_at_one_model(server, everyone, enough, self.late)

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        return params + self.lr * mean_of_means(tabulated(empty(params), updates)), state
