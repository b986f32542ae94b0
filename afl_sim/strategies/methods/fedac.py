"""FedAC: a buffer weighted by agreement, an adaptive server step, and corrected local steps."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import F, Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Client,
    Context,
    Population,
    Schedule,
    ServerView,
    State,
    Step,
    Update,
    Updates,
    Work,
)
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit import control_variates
from afl_sim.strategies.toolkit.means import weighted_mean
from afl_sim.strategies.toolkit.schedules import buffers


@register("fedac")
class FedAC(ConcurrentStrategy):
    """FedBuff with weights by agreement, a momentum one step ahead, and control variates.

    Zang, Xue, Ou, Chu, Du, Long, "Efficient Asynchronous Federated Learning with Prospective
    Momentum Aggregation and Fine-Grained Correction", AAAI 2024. When ``buffer_size`` updates have
    arrived, ``r_i = max(cos(w - w_base, Delta_i), r_min)`` says how far update i agrees with the
    way that the server has gone since that client's download. With ``p_i = r_i / sum_j r_j`` the
    pseudo-gradient is ``D = sum_i p_i Delta_i``. Then ``m <- beta1 m + (1 - beta1) D``,
    ``v <- beta2 v + (1 - beta2) D^2`` and ``w <- w + eta_g mhat / (sqrt(v) + eps)`` with the
    momentum one step ahead, ``mhat = beta1 m + (1 - beta1) D``. m and v are 0 at first and are not
    corrected for that.

    Local steps are ``y <- y - eta_l (g - c_i + c)``. After E of them
    ``c_i+ = c_i - c + (w_base - y)/(E eta_l)``, as in SCAFFOLD, and the server sets
    ``c <- c + sum_i p_i (c_i+ - c_i)``. All control variates are 0 at first. With equal weights in
    buffers of K, c thus comes to N/K times the mean of the N clients' c_i, and the model settles
    beside the optimum. With ``variates: clients`` c is their mean, as in SCAFFOLD.

    An update of the current model meets no way of the server. It has ``r_i = r_min``. The local
    optimizer must be plain SGD. FedAc of Yuan and Ma (arXiv 2006.08950) is another algorithm.
    """

    about = About(
        "Zang et al., AAAI 2024",
        "semi-synchronous",
        keeps="both moments and a control variate; each client another one",
        checked="re-implementations",
        source="boyi-liu/AFL-Lib, alg/fedac.py, at commit b6dab18, whose three parts are those of "
        "the paper's abstract",
        unconfirmed="no text of the paper but its abstract, and no code of its authors was found. "
        "In AFL-Lib the correction follows the task, once; here it is in every local step, as at "
        "its commits 982f455 and fc106ed, because the abstract corrects the stochastic gradient. "
        "AFL-Lib divides by epochs where E is steps, and compares the first buffer with w in place "
        "of w - w_base; r_min was 0 there before. That the changes of c are weighted by p_i has no "
        "other source",
    )
    plain_sgd: ClassVar[bool] = True
    optimizer_gets: ClassVar = "nothing"
    adapts = ("concurrency", "buffer_size")

    buffer_size: PositiveInt = Field(5, description="updates per server step")
    server_lr: PositiveFloat = Field(1e-3, description="eta_g: the server's learning rate")
    beta1: float = Field(0.6, ge=0, lt=1, description="decay of the momentum m")
    beta2: float = Field(0.9, ge=0, lt=1, description="decay of the second moment v")
    eps: PositiveFloat = Field(1e-8, description="added to the root of the second moment")
    least_similarity: float = Field(
        0.1, gt=0, le=1, description="r_min: the least similarity that an update counts with"
    )
    variates: Literal["similarities", "clients"] = Field(
        "similarities",
        description="the weights of the changes of control variates in c: p_i, or 1/N",
    )

    def schedule(self, server: ServerView) -> Schedule:
        return buffers(server, self.in_parallel(server.clients), self.buffer_size)

    def initial_state(self, params: Tensor, population: Population) -> State:
        zeros = {name: torch.zeros_like(params) for name in ("m", "v", "c")}
        return {**zeros, "clients": population.clients}

    def correction(self, params: Tensor, state: State, client: Client) -> Tensor:
        """$c - c_i$, added to every local gradient."""
        return control_variates.difference(state["c"], client)

    def client_state(self, params: Tensor, state: State, client: Client, work: Work) -> Tensor:
        r"""$c_i^+ = c_i - c + (w_{\text{base}} - y) / (K \eta_l)$, and its change."""
        return control_variates.after_task(state["c"], client, work)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w + \eta_g \hat m / (\sqrt{v} + \epsilon)$ with $D = \sum_i p_i \Delta_i$.

        $m \leftarrow \beta_1 m + (1 - \beta_1) D$, $v \leftarrow \beta_2 v + (1 - \beta_2) D^2$,
        $\hat m = \beta_1 m + (1 - \beta_1) D$,
        $c \leftarrow c + \sum_i p_i (c_i^+ - c_i)$.
        """
        similarities = [self._similarity(params, update) for update in updates]
        total = sum(similarities)
        step = weighted_mean([update.delta for update in updates], similarities)
        m = self.beta1 * state["m"] + (1 - self.beta1) * step
        v = self.beta2 * state["v"] + (1 - self.beta2) * step * step
        ahead = self.beta1 * m + (1 - self.beta1) * step
        c, by_similarity = state["c"], self.variates == "similarities"
        for update, similarity in zip(updates, similarities, strict=True):
            change = control_variates.change(update)
            if change is not None:
                weight = similarity / total if by_similarity else 1 / state["clients"]
                c = c.add(change, alpha=weight)
        params = params + self.server_lr * ahead / (v.sqrt() + self.eps)
        return params, {**state, "m": m, "v": v, "c": c}

    def _similarity(self, params: Tensor, update: Update) -> float:
        """r_i."""
        if not update.staleness:
            return self.least_similarity
        way = params - (update.params - update.delta)
        cosine = float(F.cosine_similarity(way, update.delta, dim=0))
        return max(cosine, self.least_similarity)
