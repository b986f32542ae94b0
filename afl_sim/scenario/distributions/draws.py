"""Draws from distributions, each at its address."""

from __future__ import annotations

from collections.abc import Callable

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.streams import Streams


def draw(law: Distribution, streams: Streams, purpose: str, client: int, k: int = 0) -> float:
    """The ``k``-th draw of a purpose on a client; a constant law needs no draw."""
    constant = law.constant
    if constant is not None:
        return constant
    return law.quantile(streams.uniform(purpose, client, k), client, k)


def drawer(law: Distribution, streams: Streams, purpose: str) -> Callable[[int, int], float]:
    """`draw` for a law, its streams and a purpose: gives a client's ``k``-th draw."""
    constant = law.constant
    if constant is not None:
        return lambda client, k: constant
    uniform, quantile, plain = streams.uniform, law.law.quantile, law.law.plain
    if plain is not None:
        return lambda client, k: plain(uniform(purpose, client, k))
    return lambda client, k: quantile(uniform(purpose, client, k), client, k)
