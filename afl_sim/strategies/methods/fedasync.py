"""Asynchronous federated optimization (FedAsync)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field, NonNegativeFloat, NonNegativeInt
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
from afl_sim.strategies.toolkit.staleness import Polynomial, StalenessWeight


@register("fedasync")
class FedAsync(Strategy):
    """Each arriving model is mixed into the global one at once.

    Xie, Koyejo, Gupta, "Asynchronous Federated Optimization", OPT 2020 (arXiv 1903.03934),
    Algorithm 1: ``w <- (1 - alpha_t) w + alpha_t w_new`` with ``alpha_t = alpha s(tau)``, the local
    objective having the proximal term ``rho/2 ||w - w_base||^2``. ``alpha`` itself never changes.
    tau is 0 for a model that is up to date, for which the paper's t - tau is 1 in Algorithm 1.

    The paper leaves open which client is sent the next model; here it is drawn uniformly from the
    idle ones, or is the same client with ``concurrency: all``.
    """

    about = About(
        "Xie, Koyejo, Gupta, OPT 2020 (arXiv 1903.03934)",
        "asynchronous",
        unconfirmed="the rule, known from a secondary source",
    )

    concurrency: Concurrency = Field(20, description="clients that train at once, or all")
    alpha: float = Field(0.6, gt=0, le=1, description="mixing weight of a fresh model")
    staleness: StalenessWeight = Field(Polynomial(), description="s(tau), the weight's decay")
    rho: NonNegativeFloat = Field(0.0, description="weight of the local proximal term")
    max_staleness: NonNegativeInt | None = Field(
        None, description="updates more stale than this (in versions) are discarded"
    )

    @property
    def proximal(self) -> float:
        return self.rho

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        return check_at_most("concurrency", self.concurrency, clients)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        server.send(in_parallel(self.concurrency, server.clients))
        while True:
            update = yield server.arrival()
            if self.max_staleness is not None and server.staleness(update) > self.max_staleness:
                server.discard(update)
            else:
                yield server.aggregate([update])
            server.send()

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        for update in updates:
            alpha = self.alpha * self.staleness(update.staleness)
            params = (1 - alpha) * params + alpha * update.params
        return params, state
