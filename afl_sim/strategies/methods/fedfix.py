"""FedFix: the server aggregates at fixed intervals whatever has arrived."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import Population, ServerView, State, Strategy, Update, VirtualSeconds
from afl_sim.strategies.methods.async_weighted import Shares, share, shares_state
from afl_sim.strategies.registry import register


@register("fedfix")
class FedFix(Strategy):
    """Every ``interval`` seconds the server aggregates what has arrived since.

    Fraboni, Vidal, Kameni, Lorenzi, "A General Theory for Federated Optimization with Asynchronous
    and Heterogeneous Clients Updates", JMLR 2023 (arXiv 2206.10189), FedFix:
    ``w <- w + eta_g sum_i d_i (w_i - w_base)`` with ``d_i = ceil(tau_i / interval) p_i``: a client
    whose tasks take tau_i seconds contributes once in that many intervals. Clients wait for the
    next aggregation and go on at its model.

    Durations are the mean round trips, as a profile of the fleet would measure them.
    """

    about = About("Fraboni et al., JMLR 2023 (arXiv 2206.10189)", "semi-synchronous")

    needs_mean_times: ClassVar[bool] = True

    interval: VirtualSeconds = Field(
        60.0, description="seconds of virtual time from one aggregation to the next"
    )
    shares: Shares = Field("samples", description="p_i: by samples, or uniform")
    server_lr: PositiveFloat = Field(1.0, description="eta_g: the server's learning rate")

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        server.dispatch_many(range(server.clients))
        while True:
            yield server.sleep(self.interval)
            arrived = server.arrivals()
            periods = {
                update.client: max(  # tasks that take no time contribute once in an interval, too
                    1, math.ceil(round(server.expected_seconds(update.client) / self.interval, 9))
                )
                for update in arrived
            }
            yield server.aggregate(arrived, periods=periods)
            server.dispatch_many(update.client for update in arrived)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return shares_state(population, self.shares)

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        weighted = [
            context["periods"][update.client] * share(update, state, self.shares) * update.delta
            for update in updates
        ]
        return params + self.server_lr * torch.stack(weighted).sum(0), state
