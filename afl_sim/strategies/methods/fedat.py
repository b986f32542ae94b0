"""FedAT: synchronous rounds within latency tiers, asynchronous between them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Population,
    Problems,
    Schedule,
    ServerView,
    State,
    Step,
    Strategy,
    Updates,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.means import weighted_mean
from afl_sim.strategies.toolkit.schedules import rounds
from afl_sim.strategies.toolkit.tiers import check_tiers, latency_tiers


@register("fedat")
class FedAT(Strategy):
    """Each latency tier runs FedAvg at its own pace; slow tiers weigh more.

    Chai et al., "FedAT: A High-Performance and Communication-Efficient Federated Learning System
    with Asynchronous Tiers", SC 2021, Algorithm 2. T_m is the number of updates of tier m, where
    tier 1 is the fastest, and T is their sum. ``w = sum_m (T_(M+1-m) / T) w_m``: the weight of a
    slow tier is the count of the fast tier opposite to it. The model of each tier is the initial
    model at first.

    The paper measures clients to make tiers. Here tiers are made once, of equal size, by the mean
    time from download to upload. The paper's compression and proximal term are settings of
    training (``compression``, ``proximal``), not of this strategy.
    """

    about = About(
        "Chai et al., SC 2021",
        "semi-synchronous",
        keeps="a model and a count for each tier",
        checked="re-implementations",
        source="the tiers' mirrored counts: a public re-implementation (its repository was not "
        "named where it was read); no code of the authors was found",
    )
    optimizer_gets = "nothing"

    needs_mean_times: ClassVar[bool] = True

    tiers: PositiveInt = Field(5, description="M: latency tiers of equal size")
    clients_per_round: PositiveInt = Field(10, description="clients in a round of a tier")

    def check(self, clients: int) -> Problems:
        return check_tiers(self.tiers, self.clients_per_round, clients)

    def schedule(self, server: ServerView) -> Schedule:
        for tier, members in enumerate(latency_tiers(server, self.tiers)):
            server.spawn(rounds(server, self.clients_per_round, among=members, tier=tier))
        yield from ()

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"models": params.repeat(self.tiers, 1), "counts": [0] * self.tiers}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w = \sum_{m=1}^{M} \frac{T_{M+1-m}}{T} w_m$, where $w_m$ is the mean over the round."""
        tier = context["tier"]
        models = state["models"].clone()
        models[tier] = weighted_mean(
            [update.params for update in updates], [update.num_samples for update in updates]
        )
        counts = list(state["counts"])
        counts[tier] += 1
        weights = torch.tensor(counts[::-1], dtype=models.dtype) / sum(counts)
        return weights @ models, {"models": models, "counts": counts}
