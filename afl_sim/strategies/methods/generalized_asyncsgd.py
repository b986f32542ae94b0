"""Generalized AsyncSGD: clients are drawn with any probabilities, and queue their tasks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, count
from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.errors import ScheduleError
from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Problems, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import GradientStrategy
from afl_sim.strategies.registry import register


@register("generalized_asyncsgd")
class GeneralizedAsyncSGD(GradientStrategy):
    """Each gradient is applied at once, with a larger step if its client is rarely drawn.

    Leconte, Jonckheere, Samsonov, Moulines, "Queuing dynamics of asynchronous Federated Learning",
    AISTATS 2024 (arXiv 2405.00017). When client i completes a task,
    ``w <- w - eta / (n p_i) g_i(w_base)``. The server then draws client j with probability p_j and
    sends it the new model, which joins j's queue. Clients work on one task at a time, first in,
    first out (``clients.queue: fifo``, which the strategy implies). With exponential task times and
    no transfers the fleet is a closed Jackson network (docs/theory.md).

    The first tasks go to clients drawn like all later ones. A task that fails is sent to the same
    client again, so that the weights stay right.
    """

    about = About(
        "Leconte et al., AISTATS 2024 (arXiv 2405.00017)",
        "asynchronous",
        unconfirmed="the step eta / (n p_i), which is derived: it is unbiased, because "
        "completions come in proportion to p; which clients have the first tasks. "
        "Of the paper only the abstract and the beginning of the introduction were found, which "
        "confirm sampling by p in a closed network of queues, and no code",
    )
    queues_at_clients: ClassVar[bool] = True

    concurrency: PositiveInt = Field(
        20, description="m: tasks in flight, queued ones included; may exceed the clients"
    )
    lr: PositiveFloat = Field(0.05, description="eta: the server's step size")
    sampling: Literal["uniform", "speed"] | tuple[PositiveFloat, ...] = Field(
        "uniform",
        description="p: uniform, in proportion to speed (1 / the mean round trip), or one weight "
        "for each client",
    )

    @property
    def needs_mean_times(self) -> bool:  # type: ignore[override]
        return self.sampling == "speed"

    def check(self, clients: int) -> Problems:
        if isinstance(self.sampling, tuple) and len(self.sampling) != clients:
            found = len(self.sampling)
            yield ("sampling",), f"{found} weights for {clients} clients; expected one for each"

    def schedule(self, server: ServerView) -> Schedule:
        weights = self._weights(server)
        send = sending(server, weights)
        total = sum(weights or ())
        for _ in range(self.concurrency):
            next(send, None)
        while True:
            update = yield server.arrival()
            factor = 1.0  # 1 / (n p_i)
            if weights is not None:
                factor = total / (server.clients * weights[update.client])
            yield server.aggregate([update], factor=factor)
            next(send, None)

    def _weights(self, server: ServerView) -> Sequence[float] | None:
        """Weights in proportion to p; None if p is uniform, which costs nothing per client."""
        if self.sampling != "speed":
            return None if self.sampling == "uniform" else self.sampling
        seconds = [server.expected_seconds(client) for client in range(server.clients)]
        if not all(seconds):
            raise ScheduleError(
                f"strategy {self.kind}: sampling by speed needs tasks that take time, and client "
                f"{seconds.index(0)}'s take none"
            )
        return [1 / each for each in seconds]

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \frac{\eta}{n p_i} g_i(w_{\text{base}})$."""
        for update in updates:  # a gradient task's delta is -g
            params = params + self.lr * context["factor"] * update.delta
        return params, state


def sending(server: ServerView, weights: Sequence[float] | None) -> Iterator[int]:
    """Sends the current model to a newly drawn client whenever the next one is asked for.

    Clients that have left for good are not drawn again. It ends when all clients have left.
    """
    ends = None if weights is None else list(accumulate(weights))
    gone: set[int] = set()
    for k in count():
        u = server.uniform("routing", 0, k)
        if ends is None:
            client = int(u * server.clients)
        else:
            client = min(bisect_right(ends, u * ends[-1]), len(ends) - 1)
        if client in gone:
            continue
        task = server.dispatch(client)
        if task.in_flight or task.arrived:  # already arrived if tasks take no time
            yield client
        else:
            gone.add(client)
            if len(gone) == server.clients:
                return
