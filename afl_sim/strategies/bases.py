"""Base classes for strategies of the same type, so that a file holds little but its paper's rule.

A strategy may also inherit from `Strategy` directly.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from afl_sim.strategies.base import Strategy
from afl_sim.strategies.server_view import ServerView
from afl_sim.strategies.settings import (
    ClientsPerRound,
    Concurrency,
    Problems,
    check_at_most,
    in_parallel,
    per_round,
)
from afl_sim.strategies.task_view import Schedule
from afl_sim.strategies.toolkit.schedules import rounds


class ConcurrentStrategy(Strategy):
    """Keeps a number of clients busy.

    Example:
        >>> class Replace(ConcurrentStrategy):
        ...     def schedule(self, server):
        ...         server.send(self.in_parallel(server.clients))
        ...         while True:
        ...             update = yield server.arrival()
        ...             yield server.aggregate([update])
        ...             server.send()
        ...
        ...     def aggregate(self, params, state, updates, context):
        ...         return updates[-1].params, state
        >>> Replace().concurrency, Replace(concurrency="all").in_parallel(50)
        (20, 50)
    """

    concurrency: Concurrency = Field(20, description="clients that train at once, or all")

    def check(self, clients: int) -> Problems:
        return check_at_most("concurrency", self.concurrency, clients)

    def in_parallel(self, clients: int) -> int:
        """The number of clients that train at the same time, out of ``clients``."""
        return in_parallel(self.concurrency, clients)


class GradientStrategy(Strategy):
    """A gradient method: clients send gradients and do not train.

    A task computes the mean gradient over its mini-batches, all of them at the downloaded model.
    With ``training: {steps: 1}`` that is one stochastic gradient. ``training.optimizer`` is not
    used. The delta of an update is the negative gradient, -g.
    """

    gradient: ClassVar[bool] = True


class RoundStrategy(Strategy):
    """Works in rounds of clients that are drawn anew; by default it waits for all of them.

    Example:
        >>> class MeanOfModels(RoundStrategy):
        ...     def aggregate(self, params, state, updates, context):
        ...         return sum(update.params for update in updates) / len(updates), state
        >>> MeanOfModels(clients_per_round=0.1).cohort_size(50)
        5
    """

    clients_per_round: ClientsPerRound = Field(
        10, description="clients in a round: a count, or a rounded fraction (1.0 is all)"
    )

    def check(self, clients: int) -> Problems:
        return check_at_most("clients_per_round", self.clients_per_round, clients)

    def cohort_size(self, clients: int) -> int:
        """The number of clients in a round, out of ``clients``."""
        return per_round(self.clients_per_round, clients)

    def schedule(self, server: ServerView) -> Schedule:
        return rounds(server, self.cohort_size(server.clients))
