"""Federated averaging with a proximal term and stragglers' partial work (FedProx)."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from afl_sim.strategies.about import About
from afl_sim.strategies.base import Problems, ServerView
from afl_sim.strategies.methods.fedavg import FedAvg
from afl_sim.strategies.registry import register
from afl_sim.strategies.task_view import TaskView
from afl_sim.streams import stochastic_round


@register("fedprox")
class FedProx(FedAvg):
    """FedAvg whose clients minimise ``f + mu/2 ||w - w_base||^2`` and may do less than all epochs.

    Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020, Algorithm 2. In the
    paper's experiments an exact share of the clients selected in a round are stragglers, which do a
    part of the E epochs. As in the authors' code, a straggler never does all of them: its number of
    epochs is drawn uniformly from 1 to E - 1. FedProx aggregates this partial work. The paper's
    FedAvg is ``mu: 0, partial: drop``: it sends stragglers a task and does not use the result. If
    the share is not a whole number of clients, it is rounded up or down at random in each round, so
    that it is right on average.
    """

    about = About(
        "Li et al., MLSys 2020",
        "synchronous",
        keeps="nothing (a server optimizer: its moments)",
        checked="authors' code",
        source="litian96/FedProx, flearn/trainers/fedprox.py",
    )

    mu: NonNegativeFloat = Field(0.0, description="weight of the proximal term")
    stragglers: float = Field(
        0.0,
        ge=0,
        le=1,
        description="mean share of the clients selected in a round that do partial work",
    )
    straggler_epochs: PositiveInt = Field(
        1,
        description="E: a straggler's epochs are drawn uniformly from 1 to E - 1 (1 if E is 1)",
    )
    partial: Literal["drop", "keep"] = Field(
        "keep", description="the stragglers' partial work is lost, or used"
    )

    @property
    def proximal(self) -> float:
        return self.mu

    def check(self, clients: int) -> Problems:
        yield from super().check(clients)
        selected = self._selected(clients)
        most = math.ceil(round(self.stragglers * selected, 9))
        if self.partial == "drop" and 0 < selected <= most:
            yield (
                ("stragglers",),
                f"partial: drop would lose all {selected} updates of a round; expected at most "
                f"{(selected - 1) / selected:g}",
            )

    def _check_keep(self) -> Problems:
        return ()  # this method keeps partial work with or without a deadline

    def send(self, server: ServerView, clients: list[int], number: int) -> list[TaskView]:
        u = server.uniform("straggler_count", k=number)
        count = stochastic_round(self.stragglers * len(clients), u)
        ranked = sorted(
            clients, key=lambda client: server.uniform("stragglers", client, server.version)
        )
        slow = frozenset(ranked[:count])
        cohort = []
        for client in clients:
            if client not in slow:
                cohort.append(server.dispatch(client, retry=False))
                continue
            drawn = server.uniform("straggler_epochs", client, server.version)
            epochs = 1 + int(drawn * (self.straggler_epochs - 1))
            task = server.dispatch(client, epochs=epochs, retry=False)
            if self.partial == "keep":
                cohort.append(task)
            else:
                server.discard(task)
        return cohort
