"""Asynchronous FedAvg with weights that remove the advantage of fast clients."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from afl_sim.errors import ScheduleError
from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Population,
    Schedule,
    ServerView,
    State,
    Step,
    Strategy,
    Updates,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.shares import Shares, share, total_of


@register("async_weighted")
class AsyncWeighted(Strategy):
    """Each client's delta is applied at once, with a weight that grows with its task's duration.

    Fraboni, Vidal, Kameni, Lorenzi, "A General Theory for Federated Optimization with Asynchronous
    and Heterogeneous Clients Updates", JMLR 2023 (arXiv 2206.10189). At each arrival
    ``w <- w + eta_g d_i (w_i - w_base)``, and client i continues at the new model. ``unbiased``
    weights are ``d_i = p_i tau_i sum_j 1/tau_j``, where tau_i is the duration of client i's tasks;
    they fit the federated objective. ``identical`` weights are ``d_i = 1``; they favour fast
    clients.

    Durations are mean times from download to upload, as a profile of the fleet would measure them.
    """

    about = About(
        "Fraboni et al., JMLR 2023 (arXiv 2206.10189)",
        "asynchronous",
        checked="paper",
        source="the paper's text: asynchronous FedAvg",
    )

    weights: Literal["unbiased", "identical"] = Field(
        "unbiased", description="d_i: p_i tau_i sum_j 1/tau_j, or 1"
    )
    shares: Shares = Field("samples", description="p_i: by samples, or uniform")
    server_lr: PositiveFloat = Field(1.0, description="eta_g: the server's learning rate")

    @property
    def needs_mean_times(self) -> bool:  # type: ignore[override]
        return self.weights == "unbiased"

    def schedule(self, server: ServerView) -> Schedule:
        slowness = self._slowness(server) if self.weights == "unbiased" else None
        server.dispatch(range(server.clients))
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
        return total_of(population, self.shares)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w + \eta_g d_i (w_i - w_{\text{base}})$ for each update.

        $d_i = p_i \tau_i \sum_j 1/\tau_j$, or 1.
        """
        for update in updates:
            weight = 1.0
            if self.weights == "unbiased":
                weight = share(update, state, self.shares) * context["slowness"][update.client]
            params = params + self.server_lr * weight * update.delta
        return params, state
