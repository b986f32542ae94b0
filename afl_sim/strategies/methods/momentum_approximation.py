"""Momentum approximation: a server momentum that allows for the staleness of what it sums."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Population,
    Schedule,
    ServerView,
    State,
    Step,
    Updates,
)
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.schedules import buffers
from afl_sim.strategies.toolkit.staleness import AnyStalenessWeight, Constant

_LEAST = 1e-12
"""A weight below this in size is forgotten. The same share of a determinant counts as 0."""

Weights = Mapping[int, float]
"""By the version at which updates were computed, the weight of their sum."""


@register("momentum_approximation")
class MomentumApproximation(ConcurrentStrategy):
    """FedBuff with a momentum whose weights are near those that it would have without staleness.

    Yu, Song, Wang, Chitnis, "Momentum Approximation in Asynchronous Private Federated Learning",
    2024 (arXiv 2402.09247), the light-weight variant. At step t the buffer gives
    ``r_t = (1/K) sum_i s(tau_i) Delta_i``. Without staleness the momentum
    ``m_t = beta m_{t-1} + (1 - beta) r_t`` has the weight ``(1 - beta) beta^(t - v)`` for what was
    computed at version v. But r_t has updates of several versions. W_t(v) is the sum of
    ``s(tau_i) / K`` over those of version v. So the server chooses u and v such that the weights of
    ``m_t = u r_t + v m_{t-1}``, ``h_t = u W_t + v h_{t-1}``, come as near as they can to the wanted
    ones by least squares. Then ``w <- w + eta_g m_t``. The first step is ``m_0 = r_0``.

    If W_t and h_{t-1} have the same direction, several u and v are as good. Then it is the solution
    with the smallest ``u^2 + v^2``.
    """

    about = About(
        "Yu et al., 2024 (arXiv 2402.09247)",
        "semi-synchronous",
        keeps="the momentum, and its weight of each version",
        checked="re-implementations",
        source="CyberStaZJU/dirbridge-response, algorithm/fedbuffma.py (FedBuffMALight)",
        unconfirmed="the first step, the factor 1 - beta and the choice where there are several "
        "solutions; no text of the paper but its abstract, and no code of its authors was found. "
        "The other variant, which keeps all updates, is not here",
    )
    optimizer_gets = "nothing"
    adapts = ("concurrency", "buffer_size")

    buffer_size: PositiveInt = Field(10, description="K: updates per server step")
    server_lr: PositiveFloat = Field(1.0, description="eta_g: the server's learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="beta: the wanted momentum")
    staleness: AnyStalenessWeight = Field(Constant(), description="s(tau): an update's weight")

    def schedule(self, server: ServerView) -> Schedule:
        return buffers(server, self.in_parallel(server.clients), self.buffer_size)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"momentum": None, "weights": {}}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$m_t = u r_t + v m_{t-1}$ and $w \leftarrow w + \eta_g m_t$.

        $r_t = \frac{1}{K} \sum_i s(\tau_i) \Delta_i$, and u and v minimise
        $\sum_j \left(u W_t(j) + v h_{t-1}(j) - (1 - \beta) \beta^{t - j}\right)^2$.
        """
        size = context.get("buffer_size", self.buffer_size)
        t = updates[-1].base_version + updates[-1].staleness
        shares = [self.staleness(update.staleness) / size for update in updates]
        now: dict[int, float] = {}  # W_t
        for update, share in zip(updates, shares, strict=True):
            now[update.base_version] = now.get(update.base_version, 0.0) + share
        weighted = [share * update.delta for share, update in zip(shares, updates, strict=True)]
        r = torch.stack(weighted).sum(0)
        before: Weights = state["weights"]  # h_{t-1}
        u, v = (1.0, 0.0) if state["momentum"] is None else self._nearest(now, before, t)
        m = u * r if state["momentum"] is None else u * r + v * state["momentum"]
        mixed = {j: u * now.get(j, 0.0) + v * before.get(j, 0.0) for j in {**before, **now}}
        kept = {j: weight for j, weight in mixed.items() if abs(weight) >= _LEAST}
        return params + self.server_lr * m, {"momentum": m, "weights": kept}

    def _nearest(self, now: Weights, before: Weights, t: int) -> tuple[float, float]:
        """u and v, by the normal equations."""

        def wanted(j: int) -> float:
            return (1 - self.momentum) * float(self.momentum ** (t - j))

        aa = sum(a * a for a in now.values())
        bb = sum(b * b for b in before.values())
        ab = sum(a * before.get(j, 0.0) for j, a in now.items())
        at = sum(a * wanted(j) for j, a in now.items())
        bt = sum(b * wanted(j) for j, b in before.items())
        determinant = aa * bb - ab * ab
        if determinant > _LEAST * aa * bb:
            return (at * bb - bt * ab) / determinant, (bt * aa - at * ab) / determinant
        # One direction: u sqrt(aa) +- v sqrt(bb) is determined, and the shortest (u, v) is taken.
        norm = aa + bb
        if not norm:
            return 0.0, 0.0
        if not aa or not bb:
            return (at / aa, 0.0) if aa else (0.0, bt / bb)
        ratio = ab / aa
        scale = at / aa / (1 + ratio * ratio)
        return scale, scale * ratio
