"""Port: buffered aggregation that hurries the stalest and trusts the like-minded."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt
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
    weighted_mean,
)
from afl_sim.strategies.registry import register


@register("port")
class Port(Strategy):
    """Stale clients are asked for what they have; updates weigh by freshness and agreement.

    Su, Li, "How Asynchronous Can Federated Learning Be?", IWQoS 2022. When ``buffer_size`` updates
    have arrived, every client whose staleness has reached the bound S is told to report at once;
    then ``w <- w + sum_i p_i Delta_i`` with ``p_i`` in proportion to
    ``n_i (a S / (S + tau_i) + b (cos_i + 1) / 2)``. cos_i is the cosine between Delta_i and the
    move of the global model since the client's version; 1 for an update that is not stale. The
    weights add up to 1. No aggregated update has a staleness beyond S.

    Here a client that is told to report stops after the step it is at, and one that has not done
    any, or cannot be reached, is let off. Clients are replaced when the server has aggregated.
    """

    about = About(
        "Su, Li, IWQoS 2022",
        "semi-synchronous",
        unconfirmed="the weights, known from a secondary source",
    )

    concurrency: Concurrency = Field(20, description="clients that train at once, or all")
    buffer_size: PositiveInt = Field(10, description="updates that the server waits for")
    staleness_bound: PositiveInt = Field(10, description="S: the largest staleness, in versions")
    staleness_weight: NonNegativeFloat = Field(1.0, description="a: weight of the freshness")
    similarity_weight: NonNegativeFloat = Field(1.0, description="b: weight of the agreement")

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        yield from check_at_most("concurrency", self.concurrency, clients)
        most = in_parallel(self.concurrency, clients)
        if self.buffer_size > most:  # nobody is replaced before the server has aggregated
            yield (
                ("buffer_size",),
                f"{self.buffer_size} updates are more than {most} concurrent clients can fill; "
                f"expected at most {most}",
            )
        if not self.staleness_weight + self.similarity_weight:
            yield ("staleness_weight",), "0 together with similarity_weight 0 leaves no weight"

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        server.send(in_parallel(self.concurrency, server.clients))
        while True:
            buffer: list[Any] = []
            while len(buffer) < self.buffer_size:
                buffer.append((yield server.arrival()))
            stale = [
                task for task in server.in_flight if server.staleness(task) >= self.staleness_bound
            ]
            ended = len(buffer) + len(stale)
            for task in filter(server.is_paused, stale):
                server.cancel(task)
            asked = [server.recall(task) for task in stale if task.in_flight]
            buffer += yield server.wait(asked)
            early = server.arrivals()
            buffer += early
            for update in buffer:
                if not update.steps:
                    server.discard(update)
            yield server.aggregate([update for update in buffer if update.steps])
            server.send(ended + len(early))

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        weights = [update.num_samples * self._trust(params, update) for update in updates]
        if not sum(weights):  # all of them point straight back
            weights = [float(update.num_samples) for update in updates]
        return params + weighted_mean([update.delta for update in updates], weights), state

    def _trust(self, params: Tensor, update: Update) -> float:
        bound = self.staleness_bound
        similarity = 1.0
        if update.staleness:
            move = params - (update.params - update.delta)
            similarity = float(F.cosine_similarity(move, update.delta, dim=0))
        return (
            self.staleness_weight * bound / (bound + update.staleness)
            + self.similarity_weight * (similarity + 1) / 2
        )
