"""Rennala SGD: a minibatch of the first gradients at one model, whoever computes them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

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

LR = 0.05
Late = Literal["cancel", "discard"]


def batches_at_one_model(
    server: ServerView, workers: list[int], enough: Callable[[list[Any]], bool], late: Late
) -> Generator[Any, Any, None]:
    """Rounds in which workers send gradients at the round's model until there are enough.

    A worker that has sent one computes another at the same model. Gradients at an earlier model
    are discarded.
    """
    server.dispatch_many(workers)
    while True:
        batch: list[Any] = []
        while True:
            update = yield server.arrival()
            if server.staleness(update):
                server.discard(update)
            else:
                batch.append(update)
                if enough(batch):
                    break
            server.dispatch(update.client)
        yield server.aggregate(batch)
        if late == "cancel":
            for task in (*server.in_flight, *server.arrivals()):
                server.cancel(task)
                server.dispatch(task.client)
        server.dispatch(update.client)


@register("rennala")
class Rennala(Strategy):
    """The server steps with the first B gradients at its model, and all start anew.

    Tyurin, Richtarik, "Optimal Time Complexities of Parallel Stochastic Optimization Methods Under
    a Fixed Computation Model", NeurIPS 2023 (arXiv 2305.12387), Rennala SGD: all workers compute at
    w, those that have sent a gradient compute another at the same w, and after B of them
    ``w <- w - (gamma/B) sum g``. Gradients under way are given up (``late: cancel``), or finished
    and ignored when they arrive (``late: discard``).

    A task's gradient is the mean over its mini-batches, all taken at the downloaded model:
    ``training: {steps: 1}`` makes it one stochastic gradient. ``training.optimizer`` plays no part.
    """

    about = About(
        "Tyurin, Richtarik, NeurIPS 2023 (arXiv 2305.12387)",
        "semi-synchronous",
        keeps="nothing (a server optimizer, its moments)",
    )
    gradient: ClassVar[bool] = True

    concurrency: Concurrency = Field("all", description="workers, or all clients")
    batch_size: PositiveInt = Field(10, description="B: gradients per step")
    lr: PositiveFloat = Field(LR, description="gamma: the server's step size")
    late: Late = Field(
        "cancel", description="what is under way at a step: cancel, or discard on arrival"
    )
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the mean gradient, in place of lr"
    )

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        yield from check_at_most("concurrency", self.concurrency, clients)
        yield from check_one_rate("lr", self.lr, LR, self.server_optimizer)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        workers = server.workers(in_parallel(self.concurrency, server.clients))
        yield from batches_at_one_model(
            server, workers, lambda batch: len(batch) == self.batch_size, self.late
        )

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        mean, state = self.direction(params, state, updates, context)
        return params + self.lr * mean, state

    def direction(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        return torch.stack([update.delta for update in updates]).sum(0) / self.batch_size, state
