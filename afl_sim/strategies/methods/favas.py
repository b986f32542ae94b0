"""FAVAS: polled clients' progress, each weighed against what is expected of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    LocalSteps,
    ServerView,
    State,
    Strategy,
    Update,
    VirtualWait,
)
from afl_sim.strategies.methods.quafl import check_polls
from afl_sim.strategies.registry import register


@register("favas")
class FAVAS(Strategy):
    """The server averages with sampled clients, whose progress is divided by its expectation.

    Leconte, Nguyen, Moulines, "FAVAS: Federated Averaging with Asynchronous Clients" / "FAVANO:
    Federated Averaging with Asynchronous Nodes" (arXiv 2305.16099). Clients do up to K steps from
    w_init,i. Every ``wait + interaction`` seconds the server samples s of them, forms
    ``u_i = w_init,i + (w_i - w_init,i) / alpha_i`` and sets ``w <- (w + sum_i u_i) / (s + 1)``; the
    sampled clients start anew at w. With E the steps done, ``alpha_i`` is ``E[E and K]``
    (``expected``) or ``P(E > 0)`` times the steps done (``stochastic``).

    Where fewer than s answer, because others are away or their updates are lost, s is their number.

    The paper takes the expectations from the law of the steps. Here they are the client's means
    over its polls so far, this one included, so that any law will do.
    """

    about = About(
        "Leconte, Nguyen, Moulines, arXiv 2305.16099",
        "semi-synchronous",
        unconfirmed="the rule, stated from memory",
    )
    optimizer_gets = "nothing"
    polls = True

    clients_per_round: PositiveInt = Field(20, description="s: clients polled at a time")
    local_steps: LocalSteps = Field(20, description="K: the most steps between two polls")
    reweighting: Literal["expected", "stochastic"] = Field(
        "expected", description="alpha: the mean number of steps, or P(steps > 0) times the steps"
    )
    interaction_seconds: VirtualWait = Field(
        3.0, description="seconds of virtual time that an interaction with the clients takes"
    )
    wait_seconds: VirtualWait = Field(
        4.0, description="seconds of virtual time that the server waits between interactions"
    )

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        period = self.interaction_seconds + self.wait_seconds
        return check_polls(self.clients_per_round, period, clients)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        polls: Counter[int] = Counter()
        steps: Counter[int] = Counter()
        active: Counter[int] = Counter()  # polls that found at least one step done
        for client in range(server.clients):
            server.dispatch(client, steps=self.local_steps, until_polled=True)
        while True:
            yield server.sleep(self.wait_seconds + self.interaction_seconds)
            sampled = server.sample(self.clients_per_round)
            polled = [task for client in sampled if (task := server.task(client)) is not None]
            arrived = yield server.wait([server.recall(task) for task in polled])
            alphas = {}
            for update in arrived:
                client = update.client
                polls[client] += 1
                steps[client] += update.steps
                active[client] += update.steps > 0
                total = steps[client]
                if self.reweighting == "stochastic":
                    total = active[client] * update.steps
                alphas[client] = total / polls[client] if update.steps else 1.0
            yield server.aggregate(arrived, alpha=alphas)
            for update in arrived:
                server.dispatch(update.client, steps=self.local_steps, until_polled=True)
            for client in sampled:
                if server.task(client) is None:  # its update was lost
                    server.dispatch(client, steps=self.local_steps, until_polled=True)

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        total = params
        for update in updates:
            begin = update.params - update.delta
            total = total + begin + update.delta / context["alpha"][update.client]
        return total / (len(updates) + 1), state
