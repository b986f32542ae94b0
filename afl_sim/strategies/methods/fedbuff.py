"""Buffered asynchronous aggregation (FedBuff)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Concurrency,
    ServerView,
    State,
    Strategy,
    Update,
    check_at_most,
    in_parallel,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.server_optimizer import check_one_rate
from afl_sim.strategies.toolkit.staleness import Polynomial, StalenessWeight


def buffers(
    server: ServerView, concurrency: Concurrency, size: int, replace_first: bool = False
) -> Generator[Any, Any, None]:
    """Keep that many clients busy, and aggregate whenever ``size`` updates have arrived.

    Args:
        server: the server.
        concurrency: how many.
        size: updates in a buffer.
        replace_first: the client that fills a buffer is replaced before the step, not after it.
    """
    server.send(in_parallel(concurrency, server.clients))
    while True:
        buffer: list[Any] = []
        while len(buffer) < size:
            buffer.append((yield server.arrival()))
            if replace_first:
                server.send()
            if len(buffer) == size:
                yield server.aggregate(buffer)
            if not replace_first:
                server.send()


@register("fedbuff")
class FedBuff(Strategy):
    """The server steps once ``buffer_size`` updates have arrived.

    Nguyen et al., "Federated Learning with Buffered Asynchronous Aggregation", AISTATS 2022
    (arXiv 2106.06639), Algorithm 1: ``w <- w + eta_g (1/K) sum_i s(tau_i) Delta_i`` with
    ``s(tau) = (1 + tau)^-1/2``. The division is by K, not by the sum of the weights.

    The K-th client's replacement is sent after the step, so it trains on the new model; with
    ``replacement: before_step``, as in QuAFL's authors' code, on the model before it.
    """

    about = About(
        "Nguyen et al., AISTATS 2022 (arXiv 2106.06639)",
        "semi-synchronous",
        keeps="nothing (a server optimizer, its moments)",
    )

    concurrency: Concurrency = Field(20, description="clients that train at once, or all")
    buffer_size: PositiveInt = Field(10, description="K: updates per server step")
    server_lr: PositiveFloat = Field(1.0, description="eta_g: the server's learning rate")
    staleness: StalenessWeight = Field(Polynomial(), description="s(tau), an update's weight")
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the pseudo-gradient, in place of server_lr"
    )
    replacement: Literal["after_step", "before_step"] = Field(
        "after_step", description="when the replacement of the client that fills the buffer is sent"
    )

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        yield from check_at_most("concurrency", self.concurrency, clients)
        yield from check_one_rate("server_lr", self.server_lr, 1.0, self.server_optimizer)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        before = self.replacement == "before_step"
        return buffers(server, self.concurrency, self.buffer_size, replace_first=before)

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        step, state = self.direction(params, state, updates, context)
        return params + self.server_lr * step, state

    def direction(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        weighted = [self.staleness(u.staleness) * u.delta for u in updates]
        return torch.stack(weighted).sum(0) / self.buffer_size, state
