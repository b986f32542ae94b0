"""Latency tiers: groups of clients whose tasks take about the same time."""

from __future__ import annotations

from afl_sim.strategies.server_view import ServerView
from afl_sim.strategies.settings import Problems


def latency_tiers(server: ServerView, tiers: int) -> list[list[int]]:
    """The clients of each tier, the fastest tier first.

    Clients are ordered by the mean time of their tasks and cut into tiers of equal size.
    """
    by_speed = sorted(range(server.clients), key=server.expected_seconds)
    bounds = [server.clients * tier // tiers for tier in range(tiers + 1)]
    return [by_speed[bounds[tier] : bounds[tier + 1]] for tier in range(tiers)]


def check_tiers(tiers: int, clients_per_round: int, clients: int) -> Problems:
    """Problems if a tier would have no clients, or if a round is larger than a tier."""
    if tiers > clients:
        yield ("tiers",), f"{tiers} tiers of {clients} clients; expected at most {clients}"
    elif clients_per_round > clients // tiers:
        yield (
            ("clients_per_round",),
            f"{clients_per_round} is more than the smallest tier holds; "
            f"expected at most {clients // tiers}",
        )
