"""FAVAS: the progress of polled clients, divided by the progress expected of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal

from pydantic import Field, PositiveInt

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Problems,
    Schedule,
    ServerView,
    State,
    Step,
    Strategy,
    Updates,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import LocalSteps, VirtualWait, check_polls

Expectations = Callable[[int, int], tuple[float, float]]
"""Of a client and the steps that a poll has found: E[min(E, K)] and P(E > 0)."""


@register("favas")
class FAVAS(Strategy):
    """The server averages with sampled clients, whose progress is divided by its expectation.

    Leconte, Nguyen, Moulines, "FAVAS: Federated Averaging with Asynchronous Clients" / "FAVANO:
    Federated Averaging with Asynchronous Nodes" (arXiv 2305.16099). Clients do up to K steps from
    w_init,i. Every ``wait + interaction`` seconds the server samples s of them, forms
    ``u_i = w_init,i + (w_i - w_init,i) / alpha_i``, and sets ``w <- (w + sum_i u_i) / (s + 1)``.
    The sampled clients start again at w. With E the number of steps done, alpha_i is
    ``E[min(E, K)]`` (``expected``), or ``P(E > 0)`` times the steps done (``stochastic``).

    If fewer than s clients answer, because others are away or their updates are lost, the server
    uses their number in place of s.

    The paper takes the expectations from the distribution of the steps. So does this rule, for any
    distribution of the step times (`server.expected_steps`). It leaves out what a client loses
    while it is away, and the time of uploads and of the server. Where these count, ``expectations:
    polls`` takes the client's means over its polls so far instead, the current one included. At a
    client's first poll alpha_i is then the number of steps that it has just done, so that first
    contributions are one step long and biased.
    """

    about = About(
        "Leconte, Nguyen, Moulines, arXiv 2305.16099",
        "semi-synchronous",
        unconfirmed="the rule, stated from memory: under both of its names only the abstract and "
        "the beginning of the introduction were found, and no code",
    )
    optimizer_gets = "nothing"
    polls = True
    gives_steps = True

    clients_per_round: PositiveInt = Field(20, description="s: clients polled at a time")
    local_steps: LocalSteps = Field(20, description="K: the most steps between two polls")
    reweighting: Literal["expected", "stochastic"] = Field(
        "expected", description="alpha: the mean number of steps, or P(steps > 0) times the steps"
    )
    expectations: Literal["laws", "polls"] = Field(
        "laws",
        description="where alpha's expectations come from: the distributions of the step times, or "
        "the client's polls so far",
    )
    interaction_seconds: VirtualWait = Field(
        3.0, description="seconds of virtual time that an interaction with the clients takes"
    )
    wait_seconds: VirtualWait = Field(
        4.0, description="seconds of virtual time that the server waits between interactions"
    )

    def check(self, clients: int) -> Problems:
        period = self.interaction_seconds + self.wait_seconds
        return check_polls(self.clients_per_round, period, clients)

    def schedule(self, server: ServerView) -> Schedule:
        expectations = self._by_polls() if self.expectations == "polls" else self._by_laws(server)
        server.dispatch(range(server.clients), steps=self.local_steps, until_polled=True)
        while True:
            yield server.sleep(self.wait_seconds + self.interaction_seconds)
            sampled = server.sample(self.clients_per_round)
            polled = [task for client in sampled if (task := server.task(client)) is not None]
            arrived = yield server.wait([server.recall(task) for task in polled])
            alphas = {}
            for update in arrived:
                mean, some = expectations(update.client, update.steps)
                alpha = some * update.steps if self.reweighting == "stochastic" else mean
                alphas[update.client] = alpha if update.steps and alpha else 1.0
            yield server.aggregate(arrived, alpha=alphas)
            for update in arrived:
                server.dispatch(update.client, steps=self.local_steps, until_polled=True)
            for client in sampled:
                if server.task(client) is None:  # its update was lost
                    server.dispatch(client, steps=self.local_steps, until_polled=True)

    def _by_laws(self, server: ServerView) -> Expectations:
        """E[min(E, K)] and P(E > 0) by the distributions of the client's step times."""
        known: dict[int, tuple[float, float]] = {}

        def expectations(client: int, steps: int) -> tuple[float, float]:
            if client not in known:
                known[client] = server.expected_steps(
                    client,
                    most=self.local_steps,
                    every=self.wait_seconds + self.interaction_seconds,
                    chance=self.clients_per_round / server.clients,
                )
            return known[client]

        return expectations

    def _by_polls(self) -> Expectations:
        """The same as means over the client's polls so far, this one included."""
        polls: Counter[int] = Counter()
        total: Counter[int] = Counter()
        active: Counter[int] = Counter()  # polls that found at least one step done

        def expectations(client: int, steps: int) -> tuple[float, float]:
            polls[client] += 1
            total[client] += steps
            active[client] += steps > 0
            return total[client] / polls[client], active[client] / polls[client]

        return expectations

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow \frac{1}{s + 1} \left(w + \sum_i u_i\right)$.

        $u_i = w_{\text{init},i} + (w_i - w_{\text{init},i}) / \alpha_i$.
        """
        total = params
        for update in updates:
            begin = update.params - update.delta
            total = total + begin + update.delta / context["alpha"][update.client]
        return total / (len(updates) + 1), state
