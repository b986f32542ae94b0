"""MIFA: the last update of clients that are away stands in for them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    LEAST_RATE,
    ClientsPerRound,
    Population,
    ServerView,
    State,
    Strategy,
    Update,
    check_at_most,
    per_round,
)
from afl_sim.strategies.registry import register


@register("mifa")
class MIFA(Strategy):
    """Rounds of the active clients, in which every client's last update counts.

    Gu, Huang, Zhang, Huang, "Fast Federated Learning in the Presence of Arbitrary Device
    Unavailability", NeurIPS 2021 (arXiv 2106.04159), memory-augmented impatient federated
    averaging: an active client sets ``G_i <- (w - w_i)/eta``, and
    ``w <- w - eta (1/N) sum_i G_i`` over all N clients. The table holds each client's last delta
    over the factor that ``training.lr_schedule`` had then, and w moves by the mean of that, times
    the factor that it has now, times ``server_lr``. So eta cancels but for its schedule, and any
    local optimizer will do.

    The first step waits until there is a G_i of every client. Who is active is for the scenario to
    say; ``clients_per_round`` limits it to a random sample of those.
    """

    about = About(
        "Gu et al., NeurIPS 2021 (arXiv 2106.04159)",
        "synchronous",
        keeps="each client's last update",
        unconfirmed="the rule, known from a secondary source",
    )

    clients_per_round: ClientsPerRound = Field(
        1.0,
        description="active clients in a round: a count, or a rounded fraction (1.0 is all)",
    )
    server_lr: PositiveFloat = Field(1.0, description="a factor on the mean update")

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        return check_at_most("clients_per_round", self.clients_per_round, clients)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        size = per_round(self.clients_per_round, server.clients)
        missing = dict.fromkeys(range(server.clients))
        first: list[Any] = []
        while True:
            yield server.wait_idle()
            active = server.pick(size, among=list(missing)) or server.pick(size)
            arrived = yield server.wait(server.dispatch_many(active))
            if not missing:
                yield server.aggregate(arrived)
                continue
            first += arrived
            for update in arrived:
                missing.pop(update.client, None)
            if not missing:
                yield server.aggregate(first)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {}

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        table = dict(state)
        for update in updates:
            scale = update.lr_factor
            table[update.client] = update.delta / scale if scale >= LEAST_RATE else update.delta
        now = updates[-1].lr_factor  # a round's updates are all of one version
        return params + self.server_lr * now * torch.stack(list(table.values())).mean(0), table
