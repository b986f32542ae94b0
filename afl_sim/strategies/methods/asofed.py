"""ASO-Fed: asynchronous online learning with each client's decayed gradient."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from pydantic import Field, NonNegativeFloat

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Population, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import Concurrency
from afl_sim.strategies.toolkit.shares import Shares, share, total_of


@register("asofed")
class ASOFed(ConcurrentStrategy):
    """Each arrival counts by its client's share, balanced with what that client sent before.

    Chen, Ning, Slawski, Rangwala, "Asynchronous Online Federated Learning for Edge Devices with
    Non-IID Data", IEEE Big Data 2020 (arXiv 1911.02134). Clients minimise
    ``s = f + lambda/2 ||w - w_base||^2``. g is the gradient of s, here the local work of a task,
    ``w_base - w_i``. v is the client's previous g, and h the decayed mean of these; both are 0 at
    first. Then ``zeta = g - v + h``, ``h <- beta h + (1 - beta) v``, ``v <- g``. The server sets
    ``w <- w - (n_k / n) r_k zeta`` with ``r_k = max(1, log d_k)``, where d_k is the mean duration
    of the client's tasks in seconds.

    The paper's step of feature learning rescales the weights of the first layer on the server. It
    is left out, because a rule here sees a vector of parameters and no layers.
    """

    about = About(
        "Chen et al., IEEE Big Data 2020 (arXiv 1911.02134)",
        "asynchronous",
        keeps="each client's last and decayed gradient",
        checked="re-implementations",
        source="zeta and h: boyi-liu/AFL-Lib, alg/asofed.py",
        unconfirmed="the step r_k, looked for in the paper's text and in public code: AFL-Lib "
        "has none, and another re-implementation has max(1, log10) of a mean delay "
        "in versions, on the local rate",
    )

    concurrency: Concurrency = Field("all", description="clients that train at once, or all")
    regularization: NonNegativeFloat = Field(0.1, description="lambda: the proximal term's weight")
    decay: float = Field(0.001, ge=0, le=1, description="beta: how much of h stays")
    dynamic_step: bool = Field(
        True, description="whether r grows with the duration of tasks; else it is 1"
    )
    shares: Shares = Field("samples", description="n_k / n: by samples, or uniform")

    @property
    def proximal(self) -> float:
        return self.regularization

    def schedule(self, server: ServerView) -> Schedule:
        began: dict[int, float] = {}
        seconds: dict[int, float] = {}
        tasks: Counter[int] = Counter()

        def send(clients: Iterable[int]) -> None:
            for client in clients:
                began[client] = server.now
                server.dispatch(client)

        send(server.workers(self.in_parallel(server.clients)))
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
        return {**total_of(population, self.shares), "last": {}, "decayed": {}}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \frac{n_k}{n} r_k (g - v + h)$ for each update.

        Then $h \leftarrow \beta h + (1 - \beta) v$ and $v \leftarrow g$ for its client.
        """
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
