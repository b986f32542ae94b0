"""Ringmaster ASGD: asynchronous SGD that restarts workers whose delay is too large."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy, GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import Concurrency


@register("ringmaster")
class Ringmaster(GradientStrategy, ConcurrentStrategy):
    """Each gradient is applied when it arrives; a worker whose delay reaches R starts again.

    Maranjyan, Tyurin, Richtarik, "Ringmaster ASGD: The First Asynchronous SGD with Optimal Time
    Complexity", ICML 2025 (arXiv 2501.16168): ``w <- w - gamma g``. With calculation stops
    (Algorithm 5) a worker whose delay reaches R is stopped and gets the new model. Without them
    (``stops: false``, Algorithm 4) it finishes, and its gradient is ignored. Every applied gradient
    has a delay of at most ``R - 1``.
    """

    about = About(
        "Maranjyan, Tyurin, Richtarik, ICML 2025",
        "asynchronous",
        checked="authors' code",
        source="vectozavr/ringmaster-lmo, src/asynchronous/algorithm.py (RingmasterASGD)",
        unconfirmed="the form without stops, known from a secondary source only",
    )

    concurrency: Concurrency = Field("all", description="workers, or all clients")
    delay_threshold: PositiveInt = Field(
        10, description="R: the smallest delay that is too large, in versions"
    )
    stops: bool = Field(
        True, description="whether workers whose delay reaches R are stopped; else they finish"
    )
    lr: PositiveFloat = Field(0.05, description="gamma: the server's step size")

    def schedule(self, server: ServerView) -> Schedule:
        server.dispatch(server.workers(self.in_parallel(server.clients)))
        while True:
            update = yield server.arrival()
            if server.staleness(update) < self.delay_threshold:
                yield server.aggregate([update])
            else:  # with stops, it arrived at the instant at which its delay reached R
                server.discard(update)
            server.dispatch(update.client)
            if not self.stops:
                continue
            for task in server.in_flight:  # oldest first
                if server.staleness(task) < self.delay_threshold:
                    break
                server.cancel(task)
                server.dispatch(task.client)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \gamma g$ for each gradient with $\tau \le R - 1$."""
        for update in updates:
            params = params + self.lr * update.delta
        return params, state
