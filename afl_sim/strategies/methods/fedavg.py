"""Federated averaging in synchronous rounds (FedAvg)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import count
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from afl_sim.lazy import Tensor
from afl_sim.learning.training.optimizers import AnyOptimizer
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
from afl_sim.strategies.bases import RoundStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import ClientsPerRound, VirtualSeconds
from afl_sim.strategies.task_view import TaskView
from afl_sim.strategies.toolkit.means import weighted_mean
from afl_sim.strategies.toolkit.schedules import Late, everyone_trains


@register("fedavg")
class FedAvg(RoundStrategy):
    """Synchronous rounds: wait for the cohort, then average its models.

    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    AISTATS 2017, Algorithm 1: ``w <- sum_k (n_k / n) w_k`` over the round's clients.

    A round ends when all clients have answered. With ``over_selection`` it ends when the first
    ``clients_per_round`` have answered (Bonawitz et al., MLSys 2019). With ``deadline`` it ends at
    the deadline at the latest. With ``partial: keep`` late clients that are available send what
    they have done, and the round ends when it has arrived.

    With ``weighting: population`` a client that did not answer counts with the global model, so
    that ``w <- w + sum_k (n_k / n) (w_k - w)``, where n is the number of samples of all clients.
    """

    about = About(
        "McMahan et al., AISTATS 2017",
        "synchronous",
        keeps="nothing (a server optimizer: its moments)",
        checked="paper",
        source="the paper's text, Algorithm 1",
    )

    buffers_by_rule = True

    clients_per_round: ClientsPerRound = Field(
        10,
        description="clients averaged per round: a count, or a rounded fraction (1.0 is all)",
    )
    over_selection: NonNegativeFloat = Field(
        0.0,
        description="extra share of clients that are sent a task, rounded up to whole clients; the "
        "round ends without the slowest",
    )
    deadline: VirtualSeconds | None = Field(
        None, description="seconds of virtual time after which a round ends"
    )
    late: Late = Field(
        "cancel", description="late clients are stopped, or finish and their update is discarded"
    )
    partial: Literal["drop", "keep"] = Field(
        "drop", description="the work of a late client by the deadline is lost, or sent and used"
    )
    weighting: Literal["samples", "uniform", "population"] = Field(
        "samples",
        description="an update's weight: its client's number of samples n_k, or 1; population: n_k "
        "over the samples of all clients, and the global model has the rest",
    )
    warm_up_epochs: NonNegativeInt = Field(
        0, description="epochs of a first round in which all clients train; 0: no such round"
    )
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the pseudo-gradient w - mean(w_k)"
    )

    @property
    def task_limit(self) -> tuple[str, float] | None:
        if self.deadline is None or self.partial == "keep" or self.warm_up_epochs:
            return None  # partial work is used, or the first round has no deadline
        return "deadline", self.deadline

    def check(self, clients: int) -> Problems:
        problems = list(super().check(clients))
        yield from problems
        if not problems and self._selected(clients) > clients:
            room = clients / self.cohort_size(clients) - 1
            yield (
                ("over_selection",),
                f"a round would select {self._selected(clients)} of {clients} clients; "
                f"expected at most {math.floor(1000 * room) / 1000:g}",
            )
        if self.weighting == "population" and self.server_optimizer is not None:
            yield ("server_optimizer",), "goes with weighting: samples or uniform"
        if self.partial == "keep" and self.deadline is None and not self.over_selection:
            yield from self._check_keep()

    def _check_keep(self) -> Problems:
        yield ("partial",), "keep has no effect: no client is late without a deadline"

    def schedule(self, server: ServerView) -> Schedule:
        if self.warm_up_epochs:
            yield server.aggregate((yield everyone_trains(server, self.warm_up_epochs)))
        enough = self.cohort_size(server.clients)
        for number in count():
            yield server.wait_idle()
            cohort = self.send(server, server.pick(self._selected(server.clients)), number)
            arrived = yield server.wait(cohort, first=enough, deadline=self.deadline)
            late = _without(cohort, arrived)
            if self.partial == "keep":
                asked = [task for task in late if not server.is_paused(task)]
                recalled = yield server.wait([server.recall(task) for task in asked])
                arrived = arrived + [task for task in recalled if task.steps]
                late = _without(late, arrived)
            for task in late:
                if self.late == "cancel":
                    server.cancel(task)
                else:
                    server.discard(task)
            yield server.aggregate(arrived)

    def send(self, server: ServerView, clients: list[int], number: int) -> list[TaskView]:
        """Send the model in the round of this number. Returns the tasks to wait for."""
        return server.dispatch(clients, retry=False)

    def initial_state(self, params: Tensor, population: Population) -> State:
        if self.weighting != "population":
            return None
        return sum(population.num_samples(client) for client in range(population.clients))

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow \sum_{k \in S} n_k w_k / \sum_{k \in S} n_k$ over the round's clients."""
        if self.weighting == "population":
            model = params
            for update in updates:
                model = model.add(update.params - params, alpha=update.num_samples / state)
            return model, state
        return weighted_mean([update.params for update in updates], self._weights(updates)), state

    def direction(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        """The mean of $w_k - w$ with the same weights."""
        # mean(w_k) - w, but exactly 0 if nobody has moved: Adam would magnify a rounding error.
        moves = [update.params - params for update in updates]
        return weighted_mean(moves, self._weights(updates)), state

    def _weights(self, updates: Updates) -> list[int]:
        uniform = self.weighting == "uniform"
        return [1 if uniform else update.num_samples for update in updates]

    def _selected(self, clients: int) -> int:
        wanted = self.cohort_size(clients) * (1 + self.over_selection)
        return math.ceil(round(wanted, 9))  # 50 * 1.1 is a little above 55 in floating point


def _without(tasks: Iterable[TaskView], arrived: Iterable[TaskView]) -> list[TaskView]:
    """The tasks that have not arrived, in order."""
    taken = set(arrived)
    return [task for task in tasks if task not in taken]
