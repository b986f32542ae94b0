"""FedDyn: a dynamic regularizer that makes local optima agree with the global one."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Client,
    ClientsPerRound,
    Population,
    ServerView,
    State,
    Strategy,
    Update,
    Work,
    check_at_most,
    per_round,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.rounds import rounds


@register("feddyn")
class FedDyn(Strategy):
    """Clients carry their last gradient into the next task, and the server their mean drift.

    Acar et al., "Federated Learning Based on Dynamic Regularization", ICLR 2021 (arXiv 2111.04263),
    Algorithm 1: client k minimises
    ``f_k(w) - <lambda_k, w> + alpha/2 |w - w_base|^2`` and sets
    ``lambda_k <- lambda_k - alpha (w_k - w_base)``, its gradient at w_k. The server sets
    ``h <- h - alpha (1/N) sum (w_k - w)`` and ``w <- mean(w_k) - h / alpha``. lambda_k and h begin
    at 0.

    The paper minimises exactly; a task's local steps stand for that.
    """

    about = About(
        "Acar et al., ICLR 2021 (arXiv 2111.04263)",
        "synchronous",
        keeps="the mean drift h, and each client its last gradient",
        unconfirmed="the rule, known from a secondary source",
    )
    optimizer_gets = "nothing"

    clients_per_round: ClientsPerRound = Field(
        10, description="clients in a round: a count, or a rounded fraction (1.0 is all)"
    )
    alpha: PositiveFloat = Field(0.1, description="weight of the regularizer")

    @property
    def proximal(self) -> float:
        return self.alpha

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        return check_at_most("clients_per_round", self.clients_per_round, clients)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        return rounds(server, per_round(self.clients_per_round, server.clients))

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"h": torch.zeros_like(params), "clients": population.clients}

    def correction(self, params: Tensor, state: State, client: Client) -> Tensor | None:
        return None if client.state is None else -client.state

    def client_state(self, params: Tensor, state: State, client: Client, work: Work) -> Tensor:
        drift = -self.alpha * work.delta
        return drift if client.state is None else client.state + drift

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        drift = torch.stack([update.params - params for update in updates])
        h = state["h"] - self.alpha * drift.sum(0) / state["clients"]
        return params + drift.mean(0) - h / self.alpha, {**state, "h": h}
