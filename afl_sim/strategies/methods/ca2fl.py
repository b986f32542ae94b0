"""CA2FL: buffered aggregation calibrated by each client's last update."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Concurrency,
    Population,
    ServerView,
    State,
    Strategy,
    Update,
    check_at_most,
)
from afl_sim.strategies.methods.fedbuff import buffers
from afl_sim.strategies.registry import register


@register("ca2fl")
class CA2FL(Strategy):
    """Buffered updates correct the mean of everybody's last update, which the server caches.

    Wang, Cao, Wu, Chen, Chen, "Tackling the Data Heterogeneity in Asynchronous Federated Learning
    with Cached Update Calibration", ICLR 2024. With h_i the cached update of client i (0 at first)
    and h their mean over all clients, after M arrivals
    ``v = h + (1/M) sum_i (Delta_i - h_i)``, ``w <- w + eta v``, and ``h_i <- Delta_i``.

    Where a client arrives twice in a buffer, both its updates are compared with the h_i from before
    the buffer; the paper leaves that open.
    """

    about = About(
        "Wang et al., ICLR 2024",
        "semi-synchronous",
        keeps="each client's last update",
        unconfirmed="the rule, stated from memory",
    )

    concurrency: Concurrency = Field(20, description="clients that train at once, or all")
    buffer_size: PositiveInt = Field(10, description="M: updates per server step")
    server_lr: PositiveFloat = Field(1.0, description="eta: the server's learning rate")

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        return check_at_most("concurrency", self.concurrency, clients)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        return buffers(server, self.concurrency, self.buffer_size)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"clients": population.clients, "cache": {}}

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        cache, zero = state["cache"], torch.zeros_like(params)
        mean = torch.stack([*cache.values(), zero]).sum(0) / state["clients"]
        changes = [update.delta - cache.get(update.client, zero) for update in updates]
        v = mean + torch.stack(changes).sum(0) / self.buffer_size
        newer = {**cache, **{update.client: update.delta for update in updates}}
        return params + self.server_lr * v, {**state, "cache": newer}
