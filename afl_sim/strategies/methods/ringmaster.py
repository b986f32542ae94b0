"""Ringmaster ASGD: asynchronous SGD that restarts whoever falls behind."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

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


@register("ringmaster")
class Ringmaster(Strategy):
    """Each gradient is applied as it arrives; a worker whose delay reaches R starts again.

    Maranjyan, Tyurin, Richtarik, "Ringmaster ASGD: The First Asynchronous SGD with Optimal Time
    Complexity", ICML 2025 (arXiv 2501.16168): ``w <- w - gamma g``. With calculation stops
    (Algorithm 5) a worker whose delay reaches R is stopped and sent the new model; without them
    (``stops: false``, Algorithm 4) it finishes, and its gradient is ignored. Every applied gradient
    has a delay of at most ``R - 1``.

    A task's gradient is the mean over its mini-batches, all taken at the downloaded model:
    ``training: {steps: 1}`` makes it one stochastic gradient. ``training.optimizer`` plays no part.
    """

    about = About(
        "Maranjyan, Tyurin, Richtarik, ICML 2025",
        "asynchronous",
        unconfirmed="the form without stops, known from a secondary source",
    )

    gradient: ClassVar[bool] = True

    concurrency: Concurrency = Field("all", description="workers, or all clients")
    delay_threshold: PositiveInt = Field(
        10, description="R: the delay that is too old, in versions"
    )
    stops: bool = Field(
        True, description="stop workers whose delay reaches R, or ignore what they send"
    )
    lr: PositiveFloat = Field(0.05, description="gamma: the server's step size")

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        return check_at_most("concurrency", self.concurrency, clients)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        server.dispatch_many(server.workers(in_parallel(self.concurrency, server.clients)))
        while True:
            update = yield server.arrival()
            if server.staleness(update) < self.delay_threshold:
                yield server.aggregate([update])
            else:  # with stops, it arrived at the instant at which it became too old
                server.discard(update)
            server.dispatch(update.client)
            if not self.stops:
                continue
            for task in server.in_flight:  # oldest first
                if server.staleness(task) < self.delay_threshold:
                    break
                server.cancel(task)
                server.dispatch(task.client)

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        for update in updates:
            params = params + self.lr * update.delta
        return params, state
