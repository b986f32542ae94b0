"""CA2FL: buffered aggregation, calibrated by each client's last update."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Population, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.schedules import buffers


@register("ca2fl")
class CA2FL(ConcurrentStrategy):
    """The server caches each client's last update; buffered updates correct the mean of the cache.

    Wang, Cao, Wu, Chen, Chen, "Tackling the Data Heterogeneity in Asynchronous Federated Learning
    with Cached Update Calibration", ICLR 2024. h_i is the cached update of client i, 0 at first,
    and h is the mean of all h_i. After M arrivals, ``v = h + (1/M) sum_i (Delta_i - h_i)``,
    ``w <- w + eta v``, and ``h_i <- Delta_i``.

    h_i is replaced at each arrival. So if a client arrives twice in a buffer, its second update is
    compared with its first. h is the mean from before the buffer.
    """

    about = About(
        "Wang et al., ICLR 2024",
        "semi-synchronous",
        keeps="each client's last update",
        checked="re-implementations",
        source="xchang1121/AsyncFL, algorithms/ca2fl.py, by the paper's Algorithm 2; "
        "boyi-liu/AFL-Lib, alg/ca2fl.py",
        unconfirmed="whether h is the mean before the buffer, as in AsyncFL, or after it, as in "
        "AFL-Lib; no text or code of the authors was found",
    )
    adapts = ("concurrency", "buffer_size")

    buffer_size: PositiveInt = Field(10, description="M: updates per server step")
    server_lr: PositiveFloat = Field(1.0, description="eta: the server's learning rate")

    def schedule(self, server: ServerView) -> Schedule:
        return buffers(server, self.in_parallel(server.clients), self.buffer_size)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"clients": population.clients, "cache": {}}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w + \eta \left(h + \frac{1}{M} \sum_i (\Delta_i - h_i)\right)$.

        In order of arrival, with $h_i \leftarrow \Delta_i$ after each; h is the mean before them.
        """
        cache, zero = state["cache"], torch.zeros_like(params)
        mean = torch.stack([*cache.values(), zero]).sum(0) / state["clients"]
        newer, changes = dict(cache), []
        for update in updates:
            changes.append(update.delta - newer.get(update.client, zero))
            newer[update.client] = update.delta
        size = context.get("buffer_size", self.buffer_size)
        v = mean + torch.stack(changes).sum(0) / size
        return params + self.server_lr * v, {**state, "cache": newer}
