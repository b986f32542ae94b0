"""Asynchronous SGD whose step shrinks with the gradient's delay."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat
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
from afl_sim.strategies.registry import register


@register("delay_adaptive")
class DelayAdaptive(Strategy):
    """Each gradient is applied as it arrives, with a step that shrinks with its delay.

    ``w <- w - gamma_k g``, with n workers and tau the gradient's staleness, in two forms:

    proportional: ``gamma_k = gamma n / max(n, tau)``; Mishchenko, Bach, Even, Woodworth,
    "Asynchronous SGD Beats Minibatch SGD Under Arbitrary Delays", NeurIPS 2022.

    threshold: ``gamma_k = gamma`` if ``tau <= tau_C``, else ``min(gamma, 1/(4 L tau))``; Koloskova,
    Stich, Jaggi, "Sharper Convergence Guarantees for Asynchronous SGD for Distributed and Federated
    Learning", NeurIPS 2022 (arXiv 2206.08307). tau_C, the mean number of gradients in flight, is
    n by default. This form is given from the literature about the paper, unconfirmed.
    """

    about = About(
        "Mishchenko et al., NeurIPS 2022; Koloskova et al., NeurIPS 2022",
        "asynchronous",
        unconfirmed="the form threshold",
    )
    gradient: ClassVar[bool] = True

    concurrency: Concurrency = Field("all", description="n: workers, or all clients")
    lr: PositiveFloat = Field(0.05, description="gamma: the step size of a fresh gradient")
    form: Literal["proportional", "threshold"] = Field(
        "proportional", description="how the step depends on the delay"
    )
    critical_delay: NonNegativeInt | None = Field(
        None, description="tau_C: delays that leave the step as it is (threshold); n if null"
    )
    smoothness: PositiveFloat | None = Field(
        None, description="L: smoothness of the loss, which the form threshold needs"
    )

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        yield from check_at_most("concurrency", self.concurrency, clients)
        if self.form == "threshold" and self.smoothness is None:
            yield ("smoothness",), "missing; form threshold needs it, a number greater than 0"

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        server.dispatch_many(server.workers(in_parallel(self.concurrency, server.clients)))
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])
            server.dispatch(update.client)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"workers": in_parallel(self.concurrency, population.clients)}

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
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
