"""Draws from distributions, each at its address."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

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


def draws(
    law: Distribution,
    streams: Streams,
    purpose: str,
    clients: npt.NDArray[np.int64],
    ks: npt.NDArray[np.int64] | int = 0,
) -> npt.NDArray[np.float64]:
    """`draw` for many addresses at once, bit for bit; the result has the shape of ``clients``."""
    constant = law.constant
    if constant is not None:
        return np.full(len(clients), constant)
    us = streams.uniforms(purpose, clients, ks)
    if law.law.plain is not None:
        return law.law.quantiles(us, clients, 0)
    numbers = np.broadcast_to(ks, clients.shape).tolist()
    drawn = map(law.law.quantile, us.tolist(), clients.tolist(), numbers)
    return np.array(list(drawn), dtype=np.float64)
