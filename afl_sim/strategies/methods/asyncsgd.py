"""Asynchronous SGD: every gradient is applied at once."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveFloat
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

LR = 0.05


@register("asyncsgd")
class AsyncSGD(Strategy):
    """Each gradient is applied as it arrives, however stale it is.

    Mishchenko, Bach, Even, Woodworth, "Asynchronous SGD Beats Minibatch SGD Under Arbitrary
    Delays", NeurIPS 2022 (arXiv 2206.07638), Algorithm 1: ``w <- w - gamma g_i(w_base)``, and
    worker i goes on at the new model.

    A task's gradient is the mean over its mini-batches, all taken at the downloaded model:
    ``training: {steps: 1}`` makes it one stochastic gradient. ``training.optimizer`` plays no part.
    """

    about = About(
        "Mishchenko et al., NeurIPS 2022 (arXiv 2206.07638)",
        "asynchronous",
        keeps="nothing (a server optimizer, its moments)",
    )
    gradient: ClassVar[bool] = True

    concurrency: Concurrency = Field("all", description="workers, or all clients")
    lr: PositiveFloat = Field(LR, description="gamma: the server's step size")
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the gradient, in place of lr"
    )

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        yield from check_at_most("concurrency", self.concurrency, clients)
        yield from check_one_rate("lr", self.lr, LR, self.server_optimizer)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        server.dispatch_many(server.workers(in_parallel(self.concurrency, server.clients)))
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])
            server.dispatch(update.client)

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        for update in updates:
            params = params + self.lr * update.delta
        return params, state

    def direction(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        return torch.stack([update.delta for update in updates]).sum(0), state
