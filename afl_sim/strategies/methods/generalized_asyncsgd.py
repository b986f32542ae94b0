"""Generalized AsyncSGD: clients are drawn with any probabilities, and queue what they are sent."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, count
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from afl_sim.errors import ScheduleError
from afl_sim.strategies.about import About
from afl_sim.strategies.base import ServerView, State, Strategy, Update
from afl_sim.strategies.registry import register


@register("generalized_asyncsgd")
class GeneralizedAsyncSGD(Strategy):
    """Each gradient is applied at once, weighted by how rarely its client is drawn.

    Leconte, Jonckheere, Samsonov, Moulines, "Queuing dynamics of asynchronous Federated Learning",
    AISTATS 2024 (arXiv 2405.00017). When client i completes a task,
    ``w <- w - eta / (n p_i) g_i(w_base)``; the server draws client j with probability p_j and sends
    it the new model, which joins j's queue: clients work on one task at a time, first in, first
    out (``clients.queue: fifo``, which the strategy implies). With exponential task times and no
    transfers the fleet is a closed Jackson network (docs/theory.md).

    The first tasks go to clients drawn like all later ones. A task that fails is sent to the same
    client anew, so that the weights stay right.

    A task's gradient is the mean over its mini-batches, all taken at the downloaded model:
    ``training: {steps: 1}`` makes it one stochastic gradient. ``training.optimizer`` plays no part.
    """

    about = About(
        "Leconte et al., AISTATS 2024 (arXiv 2405.00017)",
        "asynchronous",
        unconfirmed="the step eta / (n p_i); who has the first tasks",
    )
    gradient: ClassVar[bool] = True
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

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        if isinstance(self.sampling, tuple) and len(self.sampling) != clients:
            found = len(self.sampling)
            yield ("sampling",), f"{found} weights for {clients} clients; expected one for each"

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        weights = self._weights(server)
        send = _sending(server, weights)
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
        """In proportion to p; None where it is uniform, so that no client costs anything."""
        if self.sampling != "speed":
            return None if self.sampling == "uniform" else self.sampling
        seconds = [server.expected_seconds(client) for client in range(server.clients)]
        if not all(seconds):
            raise ScheduleError(
                f"strategy {self.kind}: sampling by speed needs tasks that take time, and client "
                f"{seconds.index(0)}'s take none"
            )
        return [1 / each for each in seconds]

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        for update in updates:  # a gradient task's delta is -g
            params = params + self.lr * context["factor"] * update.delta
        return params, state


def _sending(server: ServerView, weights: Sequence[float] | None) -> Iterator[int]:
    """Sends the current model to a client drawn anew, each time that it is asked for the next.

    Whoever has left for good is drawn no more; it ends where everybody has.
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
        if task.in_flight or task.arrived:  # at once, where tasks take no time
            yield client
        else:
            gone.add(client)
            if len(gone) == server.clients:
                return
