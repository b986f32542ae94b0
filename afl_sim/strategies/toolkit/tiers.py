"""Latency tiers: clients grouped by the mean round trip of their tasks."""

from __future__ import annotations

from collections.abc import Iterable

from afl_sim.strategies.server_view import ServerView


def latency_tiers(server: ServerView, tiers: int) -> list[list[int]]:
    """Tiers of equal size, the fastest first."""
    by_speed = sorted(range(server.clients), key=server.expected_seconds)
    bounds = [server.clients * tier // tiers for tier in range(tiers + 1)]
    return [by_speed[bounds[tier] : bounds[tier + 1]] for tier in range(tiers)]


def check_tiers(
    tiers: int, clients_per_round: int, clients: int
) -> Iterable[tuple[tuple[str, ...], str]]:
    """Complaints about tiers without clients, or rounds that are larger than a tier."""
    if tiers > clients:
        yield ("tiers",), f"{tiers} tiers of {clients} clients; expected at most {clients}"
    elif clients_per_round > clients // tiers:
        yield (
            ("clients_per_round",),
            f"{clients_per_round} is more than the smallest tier holds; "
            f"expected at most {clients // tiers}",
        )
