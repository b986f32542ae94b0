"""ASO-Fed: asynchronous online learning with each client's decayed gradient."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Concurrency,
    Population,
    ServerView,
    State,
    Strategy,
    Update,
    check_at_most,
    in_parallel,
)
from afl_sim.strategies.methods.async_weighted import Shares, share, shares_state
from afl_sim.strategies.registry import register


@register("asofed")
class ASOFed(Strategy):
    """Each arrival counts by its client's share, balanced with what that client sent before.

    Chen, Ning, Slawski, Rangwala, "Asynchronous Online Federated Learning for Edge Devices with
    Non-IID Data", IEEE Big Data 2020 (arXiv 1911.02134). Clients minimise
    ``s = f + lambda/2 ||w - w_base||^2``. With g the gradient of s (here the local work of a task,
    ``w_base - w_i``), v the client's g before and h its decayed mean, both 0 at first,
    ``zeta = g - v + h``, ``h <- beta h + (1 - beta) v``, ``v <- g``. The server moves by
    ``w <- w - (n_k / n) r_k zeta``, where ``r_k = max(1, log d_k)`` grows with the mean duration
    d_k of the client's tasks, in seconds.

    The paper's step of feature learning, which rescales the first layer's weights on the server, is
    left out: a rule here sees parameters, not layers.
    """

    about = About(
        "Chen et al., IEEE Big Data 2020 (arXiv 1911.02134)",
        "asynchronous",
        keeps="each client's last and decayed gradient",
        unconfirmed="the recursion of h and the step r, stated from memory",
    )

    concurrency: Concurrency = Field("all", description="clients that train at once, or all")
    regularization: NonNegativeFloat = Field(0.1, description="lambda: the proximal term's weight")
    decay: float = Field(0.001, ge=0, le=1, description="beta: how much of h stays")
    dynamic_step: bool = Field(True, description="whether r grows with the duration, or is 1")
    shares: Shares = Field("samples", description="n_k / n: by samples, or uniform")

    @property
    def proximal(self) -> float:
        return self.regularization

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        return check_at_most("concurrency", self.concurrency, clients)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        began: dict[int, float] = {}
        seconds: dict[int, float] = {}
        tasks: Counter[int] = Counter()

        def send(clients: Iterable[int]) -> None:
            for client in clients:
                began[client] = server.now
                server.dispatch(client)

        send(server.workers(in_parallel(self.concurrency, server.clients)))
        while True:
            update = yield server.arrival()
            client = update.client
            tasks[client] += 1
            seconds[client] = seconds.get(client, 0.0) + server.now - began[client]
            mean = seconds[client] / tasks[client]
            step = max(1.0, math.log(mean)) if self.dynamic_step and mean else 1.0
            yield server.aggregate([update], step={client: step})
            send([client])

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {**shares_state(population, self.shares), "last": {}, "decayed": {}}

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        last, decayed = dict(state["last"]), dict(state["decayed"])
        zero = torch.zeros_like(params)
        for update in updates:
            k, g = update.client, -update.delta
            v, h = last.get(k, zero), decayed.get(k, zero)
            weight = share(update, state, self.shares) * context["step"][k]
            params = params - weight * (g - v + h)
            decayed[k] = self.decay * h + (1 - self.decay) * v
            last[k] = g
        return params, {**state, "last": last, "decayed": decayed}
