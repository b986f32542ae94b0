"""FLANP: begin with the fastest clients, and let in more of them stage by stage."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    LEAST_RATE,
    Client,
    Population,
    ServerView,
    State,
    Strategy,
    Update,
    Work,
    check_at_most,
)
from afl_sim.strategies.registry import register


@register("flanp")
class FLANP(Strategy):
    """The m fastest clients train in rounds; m doubles when a stage is over.

    Reisizadeh, Tziotis, Hassani, Mokhtari, Pedarsani, "Straggler-Resilient Federated Learning:
    Leveraging the Interplay Between Statistical Accuracy and System Heterogeneity", 2022 (arXiv
    2012.14453), with FedGATE (Haddadpour et al., AISTATS 2021, Algorithm 1, without compression) as
    the solver: locally ``w_i <- w_i - eta (g - delta_i)``; with ``Delta_i = (w - w_i)/eta`` after K
    steps and Delta their mean, ``delta_i <- delta_i + (Delta_i - Delta)/K`` and
    ``w <- w - eta gamma Delta``.

    A stage is over when the squared gradient is within the statistical accuracy of its m clients,
    which shrinks as 1/m: here when the squared norm of the mean update is at most
    ``threshold / m``, or, where no threshold is given, after ``stage_rounds`` rounds. The delta_i
    are kept from stage to stage; the paper leaves that open. A client that misses rounds goes on
    with the Delta of the last that it was in, so that the delta_i go on adding up to 0. Where all
    of the m fastest have left for good, the next stage begins.

    Delta_i is a gradient only where the local optimizer is plain SGD: others, momentum and a rate
    of 0 are refused.
    """

    about = About(
        "Reisizadeh et al., 2022 (arXiv 2012.14453)",
        "synchronous",
        keeps="the mean updates of recent rounds, and each client its gradient tracking variable",
        unconfirmed="the measure by which a stage is over, FedGATE's update",
    )

    needs_mean_times: ClassVar[bool] = True
    plain_sgd: ClassVar[bool] = True
    results_key: ClassVar[str] = "threshold"

    initial_clients: PositiveInt = Field(1, description="m in the first stage")
    growth: float = Field(
        2.0,
        gt=1,
        description="m grows by this factor from stage to stage, rounded, by at least one client",
    )
    stage_rounds: PositiveInt = Field(10, description="rounds in a stage, if no threshold is given")
    threshold: PositiveFloat | None = Field(
        None, description="a stage ends at |mean update|^2 <= threshold / m; reads results"
    )
    gamma: PositiveFloat = Field(1.0, description="the server's learning rate")

    @property
    def reads_results(self) -> bool:  # type: ignore[override]
        return self.threshold is not None

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        return check_at_most("initial_clients", self.initial_clients, clients)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        by_speed = sorted(range(server.clients), key=server.expected_seconds)
        active, rounds = self.initial_clients, 0
        while True:
            while active < server.clients and all(map(server.is_gone, by_speed[:active])):
                active, rounds = self._more(active, server.clients), 0
            yield server.wait_idle(among=by_speed[:active])
            cohort = server.pick(active, among=by_speed[:active])
            arrived = yield server.wait(server.dispatch_many(cohort))
            rounds += 1
            over = rounds >= self.stage_rounds
            if self.threshold is not None:
                over = bool(arrived) and (
                    server.measure(_mean_squared, arrived) <= self.threshold / active
                )
            yield server.aggregate(arrived, active=active)
            if over:
                active, rounds = self._more(active, server.clients), 0

    def _more(self, active: int, clients: int) -> int:
        """m in the next stage."""
        return min(max(active + 1, round(active * self.growth)), clients)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {
            "rounds": 0,
            "last": {},  # client -> the last round that it was in
            "means": {},  # round -> Delta, of the rounds that were somebody's last
        }

    def correction(self, params: Tensor, state: State, client: Client) -> Tensor | None:
        return None if client.state is None else -_tracking(state, client.id, client.state)

    def client_state(
        self, params: Tensor, state: State, client: Client, work: Work
    ) -> Tensor | None:
        if work.lr < LEAST_RATE:
            return client.state
        delta = torch.zeros_like(params)
        if client.state is not None:
            delta = _tracking(state, client.id, client.state)
        return torch.cat([delta, -work.delta / work.lr, torch.tensor([float(work.steps)])])

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        size = len(params)
        sent = {
            update.client: update.client_state[size : 2 * size]
            for update in updates
            if update.steps and update.client_state is not None
        }
        mean = torch.stack([update.delta for update in updates]).mean(0)
        model = params + self.gamma * mean
        if not sent:
            return model, state
        now = state["rounds"]
        last = {**state["last"], **dict.fromkeys(sent, now)}
        means = {**state["means"], now: torch.stack(list(sent.values())).mean(0)}
        kept = {number: means[number] for number in sorted(set(last.values()))}
        return model, {"rounds": now + 1, "last": last, "means": kept}


def _mean_squared(updates: Sequence[Update]) -> float:
    """``|mean update|^2``."""
    return float(torch.stack([update.delta for update in updates]).mean(0).pow(2).sum())


def _tracking(state: State, client: int, own: Tensor) -> Tensor:
    """``delta_i + (Delta_i - Delta) / K``, of what the client kept and its last round's mean."""
    mean = state["means"][state["last"][client]]
    size = len(mean)
    return own[:size] + (own[size : 2 * size] - mean) / own[-1]
