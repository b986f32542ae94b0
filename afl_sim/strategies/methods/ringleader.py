"""Ringleader ASGD: a table of all clients' gradients, and as many steps as there are clients."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Population, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.task_view import TaskView
from afl_sim.strategies.toolkit.gradient_table import empty, mean_of_means, tabulated


@register("ringleader")
class Ringleader(GradientStrategy):
    """When a table has gradients of all clients, the next arrival of each client makes a step.

    Maranjyan, Richtarik, "Ringleader ASGD: The First Asynchronous SGD with Optimal Time Complexity
    under Data Heterogeneity", ICLR 2026 (arXiv 2509.22860), Algorithm 1. Phase 1 collects
    gradients, as many as each client sends, until the table has one of every client. Phase 2 makes
    exactly n steps ``w <- w - gamma (1/n) sum_i mean_i``. The first step is for the client that
    completed the table. Each other client has its step when it arrives, after its gradient has been
    added to the table. Later gradients of clients that have had their step begin the next table. A
    client that sends a gradient gets the current model. No delay exceeds 2n - 2.
    """

    about = About(
        "Maranjyan, Richtarik, ICLR 2026 (arXiv 2509.22860)",
        "asynchronous",
        keeps="a table of each client's gradients",
        checked="authors' code",
        source="vectozavr/ringmaster-lmo, src/asynchronous/algorithm.py (RingleaderASGD)",
    )
    waits_for_all = True

    lr: PositiveFloat = Field(0.05, description="gamma: the server's step size")

    def schedule(self, server: ServerView) -> Schedule:
        server.dispatch(server.workers(server.clients))
        table: list[TaskView] = []  # what has arrived for the table that phase 1 completes
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

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \gamma \frac{1}{n} \sum_i \bar g_i$.

        $\bar g_i$ is the mean of the gradients of client i in the table.
        """
        table = tabulated(empty(params) if context["phase"] == 1 else state, updates)
        return params + self.lr * mean_of_means(table), table

    def refused(self, params: Tensor, state: State, context: Context) -> Step:
        # Phase 1 begins a new table, even if it stays empty.
        return params, empty(params) if context["phase"] == 1 else state
