"""FADAS: buffered aggregation with an adaptive server step that depends on the delay."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.schedules import buffers
from afl_sim.strategies.toolkit.server_optimizer import server_step


@register("fadas")
class FADAS(ConcurrentStrategy):
    """AMSGrad gets the mean of a buffer as its pseudo-gradient; stale buffers make smaller steps.

    Wang, Wang, Chen, Chen, "FADAS: Towards Federated Adaptive Asynchronous Optimization", ICML
    2024. With Delta the mean of M arrivals, ``m <- beta1 m + (1 - beta1) Delta``,
    ``v <- beta2 v + (1 - beta2) Delta^2``, ``vhat <- max(vhat, v)`` and
    ``w <- w + eta_t m / (sqrt(vhat) + eps)``. m and vhat are bias-corrected as in the authors' code
    (torch's Adam with ``amsgrad``). With tau_max the largest staleness in the buffer, eta_t is
    ``eta / tau_max`` if ``tau_max > tau_c``, else eta, as in the authors' code.
    """

    about = About(
        "Wang et al., ICML 2024",
        "semi-synchronous",
        keeps="AMSGrad's moments",
        checked="authors' code",
        source="yujiaw98/FADAS, asyncfl_forward.py and g_delay_adaptive.py",
    )
    optimizer_gets = "nothing"
    adapts = ("concurrency", "buffer_size")

    buffer_size: PositiveInt = Field(10, description="M: updates per server step")
    server_lr: PositiveFloat = Field(0.01, description="eta: the server's learning rate")
    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(0.99, ge=0, lt=1, description="decay of the second moment")
    eps: PositiveFloat = Field(1e-8, description="added to the root of the second moment")
    delay_threshold: NonNegativeInt | None = Field(
        1,
        description="tau_c: the largest staleness that leaves eta as it is; null: it never changes",
    )

    def schedule(self, server: ServerView) -> Schedule:
        return buffers(server, self.in_parallel(server.clients), self.buffer_size)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w + \eta_t m / (\sqrt{\hat v} + \epsilon)$.

        $m \leftarrow \beta_1 m + (1 - \beta_1) \Delta$,
        $v \leftarrow \beta_2 v + (1 - \beta_2) \Delta^2$, $\hat v \leftarrow \max(\hat v, v)$.
        """
        size = context.get("buffer_size", self.buffer_size)
        mean = torch.stack([update.delta for update in updates]).sum(0) / size
        amsgrad = OPTIMIZERS["Adam"].model_validate(
            {
                "lr": self.server_lr,
                "betas": (self.beta1, self.beta2),
                "eps": self.eps,
                "amsgrad": True,
            }
        )
        stalest = max(update.staleness for update in updates)
        adapt = self.delay_threshold is not None and stalest > self.delay_threshold
        factor = 1 / stalest if adapt else 1.0
        # AMSGrad without decay treats each entry by itself, so the vector need not be cut up.
        return server_step(amsgrad, params, state, mean, lambda vector: [vector], factor)
