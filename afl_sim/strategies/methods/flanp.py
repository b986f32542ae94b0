"""FLANP: begin with the fastest clients, and let in more of them stage by stage."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Client,
    Context,
    Population,
    Problems,
    Schedule,
    ServerView,
    State,
    Step,
    Strategy,
    Updates,
    Work,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import LEAST_RATE, check_at_most
from afl_sim.strategies.toolkit.named_pieces import NamedPieces


class Kept(NamedTuple):
    """What a client keeps after a task.

    Attributes:
        tracking: shape (P,): delta_i in that task, its gradient tracking variable.
        move: shape (P,): Delta_i, what it sent.
        steps: K, the number of local steps, as a float32 of shape ().
    """

    tracking: Tensor
    move: Tensor
    steps: Tensor


KEPT = NamedPieces(Kept, numbers=("steps",))


@register("flanp")
class FLANP(Strategy):
    """The m fastest clients train in rounds; m grows, by default doubles, from stage to stage.

    Reisizadeh, Tziotis, Hassani, Mokhtari, Pedarsani, "Straggler-Resilient Federated Learning:
    Leveraging the Interplay Between Statistical Accuracy and System Heterogeneity", 2022 (arXiv
    2012.14453). The solver is FedGATE (Haddadpour et al., AISTATS 2021, Algorithm 1, without
    compression). Local steps are ``w_i <- w_i - eta (g - delta_i)``. After K steps,
    ``Delta_i = (w - w_i)/eta``, and Delta is the mean of all Delta_i. Then
    ``delta_i <- delta_i + (Delta_i - Delta)/K`` and ``w <- w - eta gamma Delta``.

    In the paper a stage ends when the squared gradient is within the statistical accuracy of its m
    clients, which shrinks as 1/m. Here it ends when the squared norm of the mean update is at most
    ``threshold / m``; without a threshold, after ``stage_rounds`` rounds. The delta_i are kept from
    stage to stage; the paper leaves this open. A client that misses rounds continues with the Delta
    of its last round, so that the sum of all delta_i stays 0. If all of the m fastest clients have
    left for good, the next stage begins.

    Delta_i is a gradient only if the local optimizer is plain SGD. Other optimizers, momentum and a
    rate of 0 are refused.
    """

    about = About(
        "Reisizadeh et al., 2022 (arXiv 2012.14453)",
        "synchronous",
        keeps="the mean updates of recent rounds; each client its gradient tracking variable",
        checked="paper",
        source="the paper's text: the stages and their sizes",
        unconfirmed="the measure that ends a stage; FedGATE's update: no code of the authors was "
        "found",
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
    stage_rounds: PositiveInt = Field(10, description="rounds in a stage, if there is no threshold")
    threshold: PositiveFloat | None = Field(
        None, description="a stage ends at |mean update|^2 <= threshold / m; reads results"
    )
    gamma: PositiveFloat = Field(1.0, description="the server's learning rate")

    @property
    def reads_results(self) -> bool:  # type: ignore[override]
        return self.threshold is not None

    def check(self, clients: int) -> Problems:
        return check_at_most("initial_clients", self.initial_clients, clients)

    def schedule(self, server: ServerView) -> Schedule:
        by_speed = sorted(range(server.clients), key=server.expected_seconds)
        active, rounds = self.initial_clients, 0
        while True:
            while active < server.clients and all(map(server.is_gone, by_speed[:active])):
                active, rounds = self._more(active, server.clients), 0
            yield server.wait_idle(among=by_speed[:active])
            cohort = server.pick(active, among=by_speed[:active])
            arrived = yield server.wait(server.dispatch(cohort))
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
            "last": {},  # client -> its last round
            "means": {},  # round -> Delta, for rounds that are some client's last
        }

    def correction(self, params: Tensor, state: State, client: Client) -> Tensor | None:
        r"""$-\delta_i$, added to every local gradient.

        $\delta_i \leftarrow \delta_i + (\Delta_i - \Delta) / K$ after each round.
        """
        return None if client.state is None else -_tracking(state, client.id, client.state)

    def client_state(
        self, params: Tensor, state: State, client: Client, work: Work
    ) -> Tensor | None:
        r"""$\delta_i$, $\Delta_i = (w - w_i) / \eta$ and K."""
        if work.lr < LEAST_RATE:
            return client.state
        tracking = torch.zeros_like(params)
        if client.state is not None:
            tracking = _tracking(state, client.id, client.state)
        move, steps = -work.delta / work.lr, torch.tensor(float(work.steps))
        return KEPT.pack(Kept(tracking, move, steps))

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \eta \gamma \Delta$, $\Delta = \frac{1}{m} \sum_i \Delta_i$."""
        sent = {
            update.client: KEPT.unpack(update.client_state).move
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


def _mean_squared(updates: Updates) -> float:
    """``|mean update|^2``."""
    return float(torch.stack([update.delta for update in updates]).mean(0).pow(2).sum())


def _tracking(state: State, client: int, flat: Tensor) -> Tensor:
    """delta_i now: ``delta_i + (Delta_i - Delta) / K``, with Delta of the client's last round."""
    kept = KEPT.unpack(flat)
    mean: Tensor = state["means"][state["last"][client]]
    return kept.tracking + (kept.move - mean) / kept.steps
