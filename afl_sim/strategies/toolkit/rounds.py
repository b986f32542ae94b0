"""Synchronous rounds, each of a cohort drawn anew and waited for as a whole."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from afl_sim.strategies.base import ServerView


def everyone_trains(server: ServerView, epochs: int) -> Any:
    """The arrivals of a first round in which all clients train for so many epochs."""
    tasks = [
        server.dispatch(client, epochs=epochs, retry=False) for client in range(server.clients)
    ]
    return server.wait(tasks)


def rounds(
    server: ServerView, size: int, among: Sequence[int] | None = None, **context: Any
) -> Generator[Any, Any, None]:
    """Send the model to ``size`` clients, wait for all of them, aggregate, and begin again.

    Args:
        server: the server.
        size: clients in a round; fewer where fewer are idle.
        among: the clients to choose from; the whole population if None.
        context: plain values for the log and the rule.
    """
    while True:
        yield server.wait_idle(among=among)
        cohort = server.dispatch_many(server.pick(size, among=among))
        yield server.aggregate((yield server.wait(cohort)), **context)
