"""Asynchronous FedAvg with weights that undo the head start of fast clients."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, PositiveFloat
from torch import Tensor

from afl_sim.errors import ScheduleError
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Population, ServerView, State, Strategy, Update
from afl_sim.strategies.registry import register

Shares = Literal["samples", "uniform"]


def shares_state(population: Population, shares: Shares) -> dict[str, Any]:
    """What `share` needs: the sum of the clients' weights."""
    if shares == "uniform":
        return {"total": population.clients}
    return {"total": sum(population.num_samples(client) for client in range(population.clients))}


def share(update: Update, state: State, shares: Shares) -> float:
    """p_i: the client's part of all samples, or 1/n."""
    return float((1 if shares == "uniform" else update.num_samples) / state["total"])


@register("async_weighted")
class AsyncWeighted(Strategy):
    """Each client's delta is applied at once, with a weight that grows with its task's duration.

    Fraboni, Vidal, Kameni, Lorenzi, "A General Theory for Federated Optimization with Asynchronous
    and Heterogeneous Clients Updates", JMLR 2023 (arXiv 2206.10189): at each arrival
    ``w <- w + eta_g d_i (w_i - w_base)``, and client i goes on at the new model. ``unbiased``
    weights ``d_i = p_i tau_i sum_j 1/tau_j``, tau_i being the duration of client i's tasks, fit the
    federated objective; ``identical`` ones, ``d_i = 1``, favour fast clients.

    Durations are the mean round trips, as a profile of the fleet would measure them.
    """

    about = About("Fraboni et al., JMLR 2023 (arXiv 2206.10189)", "asynchronous")

    weights: Literal["unbiased", "identical"] = Field(
        "unbiased", description="d_i: p_i tau_i sum_j 1/tau_j, or 1"
    )
    shares: Shares = Field("samples", description="p_i: by samples, or uniform")
    server_lr: PositiveFloat = Field(1.0, description="eta_g: the server's learning rate")

    @property
    def needs_mean_times(self) -> bool:  # type: ignore[override]
        return self.weights == "unbiased"

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        slowness = self._slowness(server) if self.weights == "unbiased" else None
        server.dispatch_many(range(server.clients))
        while True:
            update = yield server.arrival()
            client = update.client
            if slowness is None:
                yield server.aggregate([update])
            else:
                yield server.aggregate([update], slowness={client: slowness[client]})
            server.dispatch(client)

    def _slowness(self, server: ServerView) -> list[float]:
        """``tau_i sum_j 1/tau_j`` of every client."""
        seconds = [server.expected_seconds(client) for client in range(server.clients)]
        if not all(seconds):
            raise ScheduleError(
                f"strategy {self.kind}: weights: unbiased needs tasks that take time, and client "
                f"{seconds.index(0)}'s take none"
            )
        rate = sum(1 / duration for duration in seconds)
        return [duration * rate for duration in seconds]

    def initial_state(self, params: Tensor, population: Population) -> State:
        return shares_state(population, self.shares)

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        for update in updates:
            weight = 1.0
            if self.weights == "unbiased":
                weight = share(update, state, self.shares) * context["slowness"][update.client]
            params = params + self.server_lr * weight * update.delta
        return params, state
