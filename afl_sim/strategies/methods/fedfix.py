"""FedFix: the server aggregates at fixed intervals whatever has arrived."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field, PositiveFloat

from afl_sim.lazy import Tensor, torch
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
from afl_sim.strategies.settings import VirtualSeconds
from afl_sim.strategies.toolkit.shares import Shares, share, total_of


@register("fedfix")
class FedFix(Strategy):
    """Every ``interval`` seconds the server aggregates what has arrived since the last time.

    Fraboni, Vidal, Kameni, Lorenzi, "A General Theory for Federated Optimization with Asynchronous
    and Heterogeneous Clients Updates", JMLR 2023 (arXiv 2206.10189), FedFix:
    ``w <- w + eta_g sum_i d_i (w_i - w_base)`` with ``d_i = ceil(tau_i / interval) p_i``. A client
    whose tasks take tau_i seconds contributes once in that many intervals. Clients wait for the
    next aggregation and continue at its model.

    Durations are mean times from download to upload, as a profile of the fleet would measure them.
    """

    about = About(
        "Fraboni et al., JMLR 2023 (arXiv 2206.10189)",
        "semi-synchronous",
        checked="paper",
        source="the paper's text: FedFix",
    )

    needs_mean_times: ClassVar[bool] = True

    interval: VirtualSeconds = Field(
        60.0, description="seconds of virtual time from one aggregation to the next"
    )
    shares: Shares = Field("samples", description="p_i: by samples, or uniform")
    server_lr: PositiveFloat = Field(1.0, description="eta_g: the server's learning rate")

    def schedule(self, server: ServerView) -> Schedule:
        server.dispatch(range(server.clients))
        while True:
            yield server.sleep(self.interval)
            arrived = server.arrivals()
            periods = {
                update.client: max(  # also tasks that take no time contribute once per interval
                    1, math.ceil(round(server.expected_seconds(update.client) / self.interval, 9))
                )
                for update in arrived
            }
            yield server.aggregate(arrived, periods=periods)
            server.dispatch(update.client for update in arrived)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return total_of(population, self.shares)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w + \eta_g \sum_i p_i \lceil \tau_i / T \rceil (w_i - w_{\text{base}})$.

        T is the interval.
        """
        weighted = [
            context["periods"][update.client] * share(update, state, self.shares) * update.delta
            for update in updates
        ]
        return params + self.server_lr * torch.stack(weighted).sum(0), state
