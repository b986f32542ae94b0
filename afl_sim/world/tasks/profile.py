"""The mean of a duration that has an upper limit, as a profile of a client would measure it.

The mean of ``min(x, longest)`` is smaller than both the mean of ``x`` and ``longest``. With the
smaller of these two, clients of different speed would look alike if tails are heavy or most tasks
reach the limit. So the mean is an integral over the quantiles of the laws, on a grid that is finer
towards the upper tail.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.streams import Streams

Floats = npt.NDArray[np.float64]

LATER = 1 << 30  # a task number at which every sequence holds its last value
_DRAWS = 1 << 14  # of jitter per step


def _grid() -> tuple[Floats, Floats]:
    """Nodes in (0, 1) and their weights: the Gauss-Legendre rule between powers of 1/2."""
    nodes, weights = np.polynomial.legendre.leggauss(6)
    powers = 2.0 ** -np.arange(1.0, 53.0)
    edges = np.concatenate([[0.0], powers[:12][::-1], 1 - powers[1:]])
    widths = np.diff(edges)[:, None]
    return (edges[:-1, None] + widths * (1 + nodes) / 2).ravel(), (widths * weights / 2).ravel()


_NODES, _WEIGHTS = _grid()


def _values(law: Distribution, client: int) -> tuple[Floats, Floats]:
    if law.constant is not None:
        return np.array([law.constant]), np.ones(1)
    return law.quantiles(_NODES, client, LATER), _WEIGHTS


def mean_of_capped(
    usual: float, jitter: Distribution, extra: Distribution, client: int, longest: float
) -> float:
    """The mean of ``min(usual * jitter + extra, longest)`` for one client.

    Args:
        usual: seconds.
        jitter: a factor.
        extra: seconds.
        client: the client's index.
        longest: seconds.
    """
    factors, shares = _values(jitter, client)
    more, parts = _values(extra, client)
    capped = np.minimum(usual * factors[:, None] + more[None, :], longest)
    return float((capped * shares[:, None] * parts[None, :]).sum())


def mean_of_capped_steps(
    step: float,
    steps: int,
    jitter: Distribution,
    extra: Distribution,
    client: int,
    longest: float,
    streams: Streams,
) -> float:
    """The same mean if each step has its own jitter, estimated from drawn tasks.

    The draws are the same for all clients, so that equal clients have equal means.
    """
    tasks = max(16, _DRAWS // steps)
    uniform = streams.generator("compute.profile").random((tasks, steps))
    uniform = np.maximum(uniform, 2.0**-53)
    sums = step * jitter.quantiles(uniform, client, LATER).sum(axis=1)
    more, parts = _values(extra, client)
    capped = np.minimum(sums[:, None] + more[None, :], longest)
    return float((capped * parts[None, :]).sum() / tasks)
