"""SCAFFOLD: control variates correct the drift of local training."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    LEAST_RATE,
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


@register("scaffold")
class Scaffold(Strategy):
    """Each client steps along its gradient plus the difference of two control variates.

    Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", ICML
    2020 (arXiv 1910.06378), Algorithm 1 with option II: locally ``y <- y - eta_l (g - c_i + c)``;
    after K steps ``c_i+ = c_i - c + (x - y)/(K eta_l)``. The server sets
    ``x <- x + eta_g mean(y_i - x)`` over the round and ``c <- c + (1/N) sum (c_i+ - c_i)``. All
    control variates begin at 0.

    Option II presumes plain SGD as the local optimizer: others, momentum and a rate of 0 are
    refused.
    """

    about = About(
        "Karimireddy et al., ICML 2020 (arXiv 1910.06378)",
        "synchronous",
        keeps="a control variate, and each client another",
        unconfirmed="the rule, known from a secondary source",
    )
    plain_sgd: ClassVar[bool] = True

    clients_per_round: ClientsPerRound = Field(
        10, description="clients in a round: a count, or a rounded fraction (1.0 is all)"
    )
    server_lr: PositiveFloat = Field(1.0, description="eta_g: the server's learning rate")

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        return check_at_most("clients_per_round", self.clients_per_round, clients)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        return rounds(server, per_round(self.clients_per_round, server.clients))

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"c": torch.zeros_like(params), "clients": population.clients}

    def correction(self, params: Tensor, state: State, client: Client) -> Tensor:
        return state["c"] - _own(client, state["c"])

    def client_state(self, params: Tensor, state: State, client: Client, work: Work) -> Tensor:
        own = _own(client, state["c"])
        if work.lr < LEAST_RATE:
            return torch.cat([own, torch.zeros_like(own)])
        new = own - state["c"] - work.delta / (work.steps * work.lr)
        return torch.cat([new, new - own])  # what it keeps, and what it tells the server

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        mean = torch.stack([update.delta for update in updates]).mean(0)
        c = state["c"]
        for update in updates:
            if update.steps and update.client_state is not None:
                c = c.add(update.client_state[len(params) :], alpha=1 / state["clients"])
        return params + self.server_lr * mean, {**state, "c": c}


def _own(client: Client, c: Tensor) -> Tensor:
    """c_i."""
    return torch.zeros_like(c) if client.state is None else client.state[: len(c)]
