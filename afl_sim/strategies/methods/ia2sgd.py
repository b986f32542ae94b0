"""IA2SGD: incremental aggregated asynchronous SGD."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import Population, ServerView, State, Strategy, Update
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.gradient_table import empty, mean_of_means, replaced


@register("ia2sgd")
class IA2SGD(Strategy):
    """Each arrival replaces its client's gradient in a table, and the table's mean is the step.

    Incremental aggregated asynchronous SGD, the baseline of Maranjyan, Richtarik, "Ringleader ASGD:
    The First Asynchronous SGD with Optimal Time Complexity under Data Heterogeneity", ICLR 2026
    (arXiv 2509.22860): ``g_i <- g``, then ``w <- w - gamma (1/n) sum_i g_i``.

    How the table begins is left open; here the first step is made once it has a gradient of every
    client, and clients that are ready before send another at the initial model, which counts.

    A task's gradient is the mean over its mini-batches, all taken at the downloaded model:
    ``training: {steps: 1}`` makes it one stochastic gradient. ``training.optimizer`` plays no part.
    """

    about = About(
        "Maranjyan, Richtarik, ICLR 2026 (arXiv 2509.22860)",
        "asynchronous",
        keeps="a table of each client's last gradient",
        unconfirmed="how the table begins",
    )
    gradient: ClassVar[bool] = True

    lr: PositiveFloat = Field(0.05, description="gamma: the server's step size")

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        server.dispatch_many(server.workers(server.clients))
        new: list[Any] = []
        seen: set[int] = set()
        while True:
            update = yield server.arrival()
            new.append(update)
            seen.add(update.client)
            if len(seen) == server.clients:
                yield server.aggregate(new)
                new = []
            server.dispatch(update.client)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return empty(params)

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        table = replaced(state, updates)
        return params + self.lr * mean_of_means(table), table
