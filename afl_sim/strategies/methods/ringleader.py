"""Ringleader ASGD: a table of everybody's gradients, and as many steps as there are clients."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import Population, ServerView, State, Strategy, Update
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.gradient_table import empty, mean_of_means, tabulated


@register("ringleader")
class Ringleader(Strategy):
    """Once every client's gradient is in a table, each client's next arrival is a step.

    Maranjyan, Richtarik, "Ringleader ASGD: The First Asynchronous SGD with Optimal Time Complexity
    under Data Heterogeneity", ICLR 2026 (arXiv 2509.22860), Algorithm 1. Phase 1 collects
    gradients, as many as each client sends, until the table has one of every client. Phase 2 makes
    exactly n steps ``w <- w - gamma (1/n) sum_i mean_i``: the first for the client that completed
    the table, then one at the arrival of each client that has not had its step, whose gradient is
    added to the table before. Further gradients of clients that have had theirs begin the next
    table. A client that sends a gradient gets the model of that moment. No delay exceeds 2n - 2.

    A task's gradient is the mean over its mini-batches, all taken at the downloaded model:
    ``training: {steps: 1}`` makes it one stochastic gradient. ``training.optimizer`` plays no part.
    """

    about = About(
        "Maranjyan, Richtarik, ICLR 2026 (arXiv 2509.22860)",
        "asynchronous",
        keeps="a table of each client's gradients",
    )
    gradient: ClassVar[bool] = True

    lr: PositiveFloat = Field(0.05, description="gamma: the server's step size")

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        server.dispatch_many(server.workers(server.clients))
        table: list[Any] = []  # what has arrived for the table that the next step completes
        while True:
            clients = {update.client for update in table}
            while True:
                update = yield server.arrival()
                table.append(update)
                clients.add(update.client)
                if len(clients) == server.clients:
                    break
                server.dispatch(update.client)
            yield server.aggregate(table, phase=1)
            server.dispatch(update.client)
            stepped, table = {update.client}, []
            while len(stepped) < server.clients:
                update = yield server.arrival()
                if update.client in stepped:
                    table.append(update)
                else:
                    stepped.add(update.client)
                    yield server.aggregate([update], phase=2)
                server.dispatch(update.client)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return empty(params)

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        table = tabulated(empty(params) if context["phase"] == 1 else state, updates)
        return params + self.lr * mean_of_means(table), table

    def refused(
        self, params: Tensor, state: State, context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        # A new table begins, if an empty one.
        return params, empty(params) if context["phase"] == 1 else state
