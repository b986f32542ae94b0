"""p_i: each client's share in the objective, by samples or uniform."""

from __future__ import annotations

from typing import Literal, TypedDict

from afl_sim.strategies.inputs import Population, Update

Shares = Literal["samples", "uniform"]
"""p_i is ``n_i / n``, or ``1 / N`` for N clients."""


class Total(TypedDict):
    """What `share` divides by.

    Attributes:
        total: the samples of all clients, or the number of clients.
    """

    total: int


def total_of(population: Population, shares: Shares) -> Total:
    """What `share` needs to know about the population."""
    if shares == "uniform":
        return {"total": population.clients}
    return {"total": sum(population.num_samples(client) for client in range(population.clients))}


def share(update: Update, of: Total, shares: Shares) -> float:
    """p_i of the client that sent the update."""
    return float((1 if shares == "uniform" else update.num_samples) / of["total"])
