"""Asynchronous SGD with a step that shrinks with the gradient's delay."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Population,
    Problems,
    Schedule,
    ServerView,
    State,
    Step,
    Updates,
)
from afl_sim.strategies.bases import ConcurrentStrategy, GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import Concurrency
from afl_sim.strategies.toolkit.schedules import a_step_per_arrival


@register("delay_adaptive")
class DelayAdaptive(GradientStrategy, ConcurrentStrategy):
    """Each gradient is applied when it arrives, with a step that shrinks with its delay.

    ``w <- w - gamma_k g``. With n workers and a gradient of staleness tau, the step has two forms:

    proportional: ``gamma_k = gamma n / max(n, tau)``; Mishchenko, Bach, Even, Woodworth,
    "Asynchronous SGD Beats Minibatch SGD Under Arbitrary Delays", NeurIPS 2022.

    threshold: ``gamma_k = gamma`` if ``tau <= tau_C``, else ``min(gamma, 1/(4 L tau))``; Koloskova,
    Stich, Jaggi, "Sharper Convergence Guarantees for Asynchronous SGD for Distributed and Federated
    Learning", NeurIPS 2022 (arXiv 2206.08307). tau_C is the largest number of gradients in flight
    at a time, which is n here. For larger delays the paper allows any step below that bound, even
    none; the largest is taken here.
    """

    about = About(
        "Mishchenko et al., NeurIPS 2022; Koloskova et al., NeurIPS 2022",
        "asynchronous",
        checked="paper",
        source="the papers' texts; the form proportional also: vectozavr/ringmaster-lmo, "
        "src/asynchronous/algorithm.py (AsynchronousSGD)",
    )

    concurrency: Concurrency = Field("all", description="n: workers, or all clients")
    lr: PositiveFloat = Field(0.05, description="gamma: the step size of a fresh gradient")
    form: Literal["proportional", "threshold"] = Field(
        "proportional", description="how the step depends on the delay"
    )
    critical_delay: NonNegativeInt | None = Field(
        None,
        description="tau_C: the largest delay that leaves the step as it is (threshold), in the "
        "paper the largest concurrency; n if null",
    )
    smoothness: PositiveFloat | None = Field(
        None, description="L: the smoothness of the loss, which the form threshold needs"
    )

    def check(self, clients: int) -> Problems:
        yield from super().check(clients)
        if self.form == "threshold" and self.smoothness is None:
            yield ("smoothness",), "missing; form threshold needs it, a number greater than 0"

    def schedule(self, server: ServerView) -> Schedule:
        yield from a_step_per_arrival(server, server.workers(self.in_parallel(server.clients)))

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"workers": self.in_parallel(population.clients)}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \gamma_k g$ for each gradient.

        $\gamma_k = \gamma n / \max(n, \tau)$ (proportional); or $\gamma_k = \gamma$ if
        $\tau \le \tau_C$, else $\gamma_k = \min(\gamma, 1 / (4 L \tau))$ (threshold).
        """
        for update in updates:
            step = self._step_size(update.staleness, state["workers"])
            params = params + step * update.delta
        return params, state

    def _step_size(self, tau: int, workers: int) -> float:
        if self.form == "proportional":
            return self.lr * workers / max(workers, tau)
        critical = workers if self.critical_delay is None else self.critical_delay
        if tau <= critical or self.smoothness is None:
            return self.lr
        return min(self.lr, 1 / (4 * self.smoothness * tau))
