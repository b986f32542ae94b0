"""Asynchronous federated optimization (FedAsync)."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.staleness import AnyStalenessWeight, Polynomial


@register("fedasync")
class FedAsync(ConcurrentStrategy):
    """Each arriving model is mixed into the global model at once.

    Xie, Koyejo, Gupta, "Asynchronous Federated Optimization", OPT 2020 (arXiv 1903.03934),
    Algorithm 1: ``w <- (1 - alpha_t) w + alpha_t w_new`` with ``alpha_t = alpha s(tau)``. The local
    objective has the proximal term ``rho/2 ||w - w_base||^2``. ``alpha`` itself never changes. tau
    is 0 for a model that is up to date. The paper's t - tau is then 1 in Algorithm 1.

    The paper does not say which client gets the next model. Here it is drawn uniformly from the
    idle clients; with ``concurrency: all`` it is the client that has just delivered.
    """

    about = About(
        "Xie, Koyejo, Gupta, OPT 2020 (arXiv 1903.03934)",
        "asynchronous",
        checked="re-implementations",
        source="TL-System/plato, plato/servers/strategies/aggregation/fedasync.py",
    )
    buffers_by_rule = True
    adapts = ("concurrency",)

    alpha: float = Field(0.6, gt=0, le=1, description="mixing weight of a fresh model")
    staleness: AnyStalenessWeight = Field(
        Polynomial(), description="s(tau): how the weight depends on the staleness"
    )
    rho: NonNegativeFloat = Field(0.0, description="weight of the local proximal term")
    max_staleness: NonNegativeInt | None = Field(
        None, description="updates of a larger staleness (in versions) are discarded"
    )

    @property
    def proximal(self) -> float:
        return self.rho

    def schedule(self, server: ServerView) -> Schedule:
        server.send(self.in_parallel(server.clients))
        while True:
            update = yield server.arrival()
            if self.max_staleness is not None and server.staleness(update) > self.max_staleness:
                server.discard(update)
            else:
                yield server.aggregate([update])
            server.send()

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow (1 - \alpha s(\tau)) w + \alpha s(\tau) w_i$ for each update."""
        for update in updates:
            alpha = self.alpha * self.staleness(update.staleness)
            params = (1 - alpha) * params + alpha * update.params
        return params, state
