"""How often clients should get tasks, and how many tasks should be in flight.

The fleet is a closed Jackson network: a task that client i completes goes on to client j with
probability p_j, where it queues for an exponential service of mean T_j (docs/theory.md). Its rates
and queues come from mean value analysis, which needs sums and products alone, so that the result
is the same on every machine. (Powers are products for the same reason.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
_ROUNDS = 40
_LEAST_STEP, _FIRST_STEP, _LARGEST_STEP = 1e-4, 0.2, 1.0


@dataclass(frozen=True)
class Network:
    """m tasks on a fleet with mean times T, routed by weights in proportion to p.

    Attributes:
        p: shape (n,): the probabilities.
        rate: lambda, updates a second.
        queues: shape (n,): E_{m-1}[x_i], so that E[delay_i] = E_{m-1}[x_i] / p_i.
    """

    p: Vector
    rate: float
    queues: Vector


def network(times: Vector, p: Vector, m: int) -> Network:
    """The network's rate and queues; m is at least 1."""
    _, rates, queues = _mean_values(times, p, m)
    return Network(p, rates[-1], queues[-2])


def _mean_values(
    times: Vector, p: Vector, m: int
) -> tuple[list[Vector], list[float], list[Vector]]:
    """Mean value analysis: shares and rates with 1, ..., m tasks, and queues with 0, ..., m.

    A client's share is its mean time in the network for each visit of a task anywhere.
    """
    shares, rates = [], []
    queues = [np.zeros_like(times)]
    visits = p * times
    for k in range(1, m + 1):
        share = visits * (1 + queues[-1])
        rate = k / fsum(share.tolist())  # of a list, fsum takes a fraction of the time
        shares.append(share)
        rates.append(rate)
        queues.append(rate * share)
    return shares, rates, queues


def step_quality(found: Network, m: int, accuracy: float) -> tuple[float, float]:
    r"""What an update is worth at the best step size, and that step size.

    The bound on the mean squared gradient after K updates is
    $A / (\eta K) + \eta a + \eta^2 b$ with $a = \sum_i 1 / (n^2 p_i)$ and
    $b = m \sum_i E_{m-1}[x_i] / (n^2 p_i^2)$, in units in which gradients have the variance 1 and
    the smoothness is 1. It is below the accuracy e after $K = A / (\eta (e - \eta a - \eta^2 b))$
    updates, and this is least at $\eta = e / (a + \sqrt{a^2 + 3 b e})$.
    """
    n, p = len(found.p), found.p
    a = fsum(1 / (n * n * p))
    b = m * fsum(found.queues / (n * n * p * p))
    eta = accuracy / (a + sqrt(a * a + 3 * b * accuracy))
    return eta * (accuracy - eta * a - eta * eta * b), eta


def speed(times: Vector, p: Vector, m: int, accuracy: float) -> float:
    """The inverse of the time that reaches the accuracy, up to a constant."""
    found = network(times, p, m)
    return found.rate * step_quality(found, m, accuracy)[0]


def _gradient(times: Vector, p: Vector, m: int, accuracy: float) -> tuple[float, Vector]:
    """`speed`, and its derivative by log p (shape (n,)), p being scaled to 1."""
    n = len(p)
    shares, rates, queues = _mean_values(times, p, m)
    found = Network(p, rates[-1], queues[-2])
    quality, eta = step_quality(found, m, accuracy)
    # By p and by the queues, at the best step size, which need not be differentiated.
    by_a, by_b = -found.rate * eta * eta, -found.rate * eta * eta * eta
    inverse = 1 / (n * n * p * p)
    by_p = -by_a * inverse - 2 * by_b * m * found.queues * inverse / p
    by_queues = by_b * m * inverse
    by_rate, of_queues = quality, np.zeros_like(p)
    for k in range(m, 0, -1):
        share, rate = shares[k - 1], rates[k - 1]
        by_rate += fsum((of_queues * share).tolist())
        by_share = rate * of_queues - by_rate * rate * rate / k
        by_p += by_share * times * (1 + queues[k - 1])
        of_queues = by_share * p * times
        by_rate = 0.0
        if k == m:
            of_queues = of_queues + by_queues
    by_log = by_p * p
    return found.rate * quality, by_log - p * fsum(by_log)


def best_routing(
    times: Sequence[float], m: int, accuracy: float, begin: Sequence[float] | None = None
) -> list[float]:
    """The probabilities that reach the accuracy soonest with m tasks in flight.

    They are improved by steps whose sizes depend on the signs of the derivatives alone (Rprop).

    Args:
        times: T, the mean time of each client's tasks (seconds).
        m: the number of tasks in flight.
        accuracy: the mean squared gradient to reach, over the variance of the gradients.
        begin: probabilities to begin with; None is uniform.
    """
    seconds = np.asarray(times, dtype=np.float64)
    n = len(seconds)
    p = np.full(n, 1 / n) if begin is None else np.asarray(begin, dtype=np.float64)
    steps, signs = np.full(n, _FIRST_STEP), np.zeros(n)
    best, best_p = speed(seconds, p, m, accuracy), p
    for _ in range(_ROUNDS):
        value, gradient = _gradient(seconds, p, m, accuracy)
        if value > best:
            best, best_p = value, p
        turned = np.sign(gradient) * signs
        steps = np.clip(
            np.where(turned > 0, 1.2 * steps, np.where(turned < 0, 0.5 * steps, steps)),
            _LEAST_STEP,
            _LARGEST_STEP,
        )
        signs = np.sign(gradient)
        p = np.where(signs > 0, p * (1 + steps), np.where(signs < 0, p / (1 + steps), p))
        p = p / fsum(p)
    if speed(seconds, p, m, accuracy) > best:
        best_p = p
    return [float(share) for share in best_p]


def best_concurrency(times: Sequence[float], accuracy: float, most: int) -> tuple[int, list[float]]:
    """The number of tasks in flight, at most ``most``, and the routing that go together best.

    The time is taken to fall and then to rise with the number of tasks.
    """
    tried: dict[int, tuple[float, list[float]]] = {}

    def worth(m: int) -> float:
        if m not in tried:
            near = min(tried, key=lambda other: abs(other - m), default=None)
            begin = None if near is None else tried[near][1]
            p = best_routing(times, m, accuracy, begin)
            tried[m] = speed(np.asarray(times, dtype=np.float64), np.asarray(p), m, accuracy), p
        return tried[m][0]

    low, high = 1, most
    while high - low > 2:
        left, right = low + (high - low) // 3, high - (high - low) // 3
        if worth(left) < worth(right):
            low = left + 1
        else:
            high = right - 1 if right > left else right
    m = max(range(low, high + 1), key=worth)
    return m, tried[m][1]
