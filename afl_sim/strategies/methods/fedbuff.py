"""Buffered asynchronous aggregation (FedBuff)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Problems, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.schedules import buffers
from afl_sim.strategies.toolkit.server_optimizer import check_one_rate
from afl_sim.strategies.toolkit.staleness import AnyStalenessWeight, Polynomial


@register("fedbuff")
class FedBuff(ConcurrentStrategy):
    """The server makes a step when ``buffer_size`` updates have arrived.

    Nguyen et al., "Federated Learning with Buffered Asynchronous Aggregation", AISTATS 2022
    (arXiv 2106.06639), Algorithm 1: ``w <- w + eta_g (1/K) sum_i s(tau_i) Delta_i`` with
    ``s(tau) = (1 + tau)^-1/2``. The sum is divided by K, not by the sum of the weights. The
    authors' own simulator, FLSim, divides s by its value at staleness 1, which is a factor of
    sqrt(2) here, and by default it sums without 1/K. Both are constants in ``server_lr``.

    The client that fills the buffer is replaced after the step, so that its replacement trains on
    the new model. With ``replacement: before_step`` the replacement trains on the model before the
    step, as in the code of QuAFL's authors.
    """

    about = About(
        "Nguyen et al., AISTATS 2022 (arXiv 2106.06639)",
        "semi-synchronous",
        keeps="nothing (a server optimizer: its moments)",
        checked="re-implementations",
        source="TL-System/plato, plato/servers/strategies/aggregation/fedbuff.py",
        unconfirmed="1/K in the paper's algorithm: the authors' FLSim (facebookresearch/FLSim, "
        "flsim/servers/aggregator.py) sums by default; the paper's text was not "
        "found",
    )
    buffers_by_rule = True
    adapts = ("concurrency", "buffer_size")

    buffer_size: PositiveInt = Field(10, description="K: updates per server step")
    server_lr: PositiveFloat = Field(1.0, description="eta_g: the server's learning rate")
    staleness: AnyStalenessWeight = Field(Polynomial(), description="s(tau): an update's weight")
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the pseudo-gradient, in place of server_lr"
    )
    replacement: Literal["after_step", "before_step"] = Field(
        "after_step", description="when the client that fills the buffer is replaced"
    )

    def check(self, clients: int) -> Problems:
        yield from super().check(clients)
        yield from check_one_rate("server_lr", self.server_lr, 1.0, self.server_optimizer)

    def schedule(self, server: ServerView) -> Schedule:
        before = self.replacement == "before_step"
        return buffers(server, self.in_parallel(server.clients), self.buffer_size, before)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w + \eta_g \frac{1}{K} \sum_{i=1}^{K} s(\tau_i) \Delta_i$."""
        step, state = self.direction(params, state, updates, context)
        return params + self.server_lr * step, state

    def direction(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$\frac{1}{K} \sum_i s(\tau_i) \Delta_i$."""
        weighted = [self.staleness(u.staleness) * u.delta for u in updates]
        size = context.get("buffer_size", self.buffer_size)
        return torch.stack(weighted).sum(0) / size, state
