"""Federated averaging in synchronous rounds (FedAvg)."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor

from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    ClientsPerRound,
    Population,
    ServerView,
    State,
    Strategy,
    Update,
    VirtualSeconds,
    check_at_most,
    per_round,
    weighted_mean,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.rounds import everyone_trains


@register("fedavg")
class FedAvg(Strategy):
    """Synchronous rounds: wait for the cohort, then average its models.

    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    AISTATS 2017, Algorithm 1: ``w <- sum_k (n_k / n) w_k`` over the round's clients.

    A round ends when all have answered; with ``over_selection``, when the first
    ``clients_per_round`` have (Bonawitz et al., MLSys 2019); with ``deadline``, at the latest then.
    With ``partial: keep`` those that are late are asked for what they have done, but for those that
    are away, and the round ends when they have sent it.

    With ``weighting: population`` those who did not answer count with the global model, so that
    ``w <- w + sum_k (n_k / n) (w_k - w)``, n being the samples of all clients.
    """

    about = About(
        "McMahan et al., AISTATS 2017",
        "synchronous",
        keeps="nothing (a server optimizer, its moments)",
    )

    clients_per_round: ClientsPerRound = Field(
        10,
        description="clients averaged per round: a count, or a rounded fraction (1.0 is all)",
    )
    over_selection: NonNegativeFloat = Field(
        0.0,
        description="extra share of clients sent a task, rounded up to whole clients; the round "
        "ends without the slowest",
    )
    deadline: VirtualSeconds | None = Field(
        None, description="seconds of virtual time after which a round ends"
    )
    late: Literal["cancel", "discard"] = Field(
        "cancel", description="late clients are stopped, or finish and their update is discarded"
    )
    partial: Literal["drop", "keep"] = Field(
        "drop", description="what a late client has done by the deadline is lost, or sent and used"
    )
    weighting: Literal["samples", "uniform", "population"] = Field(
        "samples",
        description="an update's weight: its client's sample count n_k, or 1; population: n_k over "
        "the samples of all clients, the rest being the global model's",
    )
    warm_up_epochs: NonNegativeInt = Field(
        0, description="epochs of a first round in which all clients train; 0: there is none"
    )
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the pseudo-gradient w - mean(w_k)"
    )

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        problems = check_at_most("clients_per_round", self.clients_per_round, clients)
        yield from problems
        if not problems and self._selected(clients) > clients:
            room = clients / per_round(self.clients_per_round, clients) - 1
            yield (
                ("over_selection",),
                f"a round would select {self._selected(clients)} of {clients} clients; "
                f"expected at most {math.floor(1000 * room) / 1000:g}",
            )
        if self.weighting == "population" and self.server_optimizer is not None:
            yield ("server_optimizer",), "goes with weighting: samples or uniform"
        if self.partial == "keep" and self.deadline is None and not self.over_selection:
            yield from self._check_keep()

    def _check_keep(self) -> Iterable[tuple[tuple[str, ...], str]]:
        yield ("partial",), "keep has no effect: no client is late without a deadline"

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        if self.warm_up_epochs:
            yield server.aggregate((yield everyone_trains(server, self.warm_up_epochs)))
        enough = per_round(self.clients_per_round, server.clients)
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

    def send(self, server: ServerView, clients: list[int], number: int) -> list[Any]:
        """Send the model out in a round of this number; returns the tasks that it waits for."""
        return [server.dispatch(client, retry=False) for client in clients]

    def initial_state(self, params: Tensor, population: Population) -> State:
        if self.weighting != "population":
            return None
        return sum(population.num_samples(client) for client in range(population.clients))

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        if self.weighting == "population":
            model = params
            for update in updates:
                model = model.add(update.params - params, alpha=update.num_samples / state)
            return model, state
        return weighted_mean([update.params for update in updates], self._weights(updates)), state

    def direction(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        # mean(w_k) - w, but exactly 0 where nobody has moved: Adam would magnify its rounding.
        moves = [update.params - params for update in updates]
        return weighted_mean(moves, self._weights(updates)), state

    def _weights(self, updates: Sequence[Update]) -> list[int]:
        uniform = self.weighting == "uniform"
        return [1 if uniform else update.num_samples for update in updates]

    def _selected(self, clients: int) -> int:
        wanted = per_round(self.clients_per_round, clients) * (1 + self.over_selection)
        return math.ceil(round(wanted, 9))  # 50 * 1.1 is a little above 55 in floating point


def _without(tasks: Iterable[Any], arrived: Iterable[Any]) -> list[Any]:
    """The tasks that are not among those that have arrived, in order."""
    taken = set(arrived)
    return [task for task in tasks if task not in taken]
