"""The oracles' formulas. T_i is the mean time of client i's tasks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import exp, factorial, prod
from typing import Any


def expected_delay(client: int, times: Sequence[Any]) -> Any:
    """T_i sum_{j != i} 1/T_j: the mean staleness where every client always has a task."""
    others = sum(1 / time for j, time in enumerate(times) if j != client)
    return times[client] * others


def expected_share(client: int, times: Sequence[Any]) -> Any:
    """(1/T_i) / sum_j 1/T_j: a client's share of all updates, where each always has a task."""
    return 1 / times[client] / sum(1 / time for time in times)


def elementary(k: int, values: Sequence[float]) -> float:
    """e_k, an elementary symmetric polynomial: the sum of the products of all k-subsets."""
    return float(sum(prod(subset) for subset in combinations(values, k)))


def upload_rate(m: int, times: Sequence[float]) -> float:
    """(N - M + 1) e_{M-1}(T) / e_M(T): updates a second with M tasks, the next client uniform."""
    return (len(times) - m + 1) * elementary(m - 1, times) / elementary(m, times)


def harmonic(n: int) -> float:
    """H_n = 1 + 1/2 + ... + 1/n."""
    return sum(1 / j for j in range(1, n + 1))


def slowest_of(times: Sequence[float]) -> float:
    """The integral of 1 - prod(1 - exp(-t/T_i)): the mean of the slowest of exponential tasks."""
    # By inclusion and exclusion: the first to end of a subset takes 1 / sum 1/T on average.
    return sum(
        (-1.0) ** (size + 1) * sum(1 / sum(1 / t for t in subset) for subset in subsets)
        for size in range(1, len(times) + 1)
        for subsets in [list(combinations(times, size))]
    )


def erlang_c(servers: int, load: float) -> float:
    """The probability that who comes to M/M/c has to wait; ``load`` is l/mu, below c."""
    last = load**servers / factorial(servers) * servers / (servers - load)
    return last / (sum(load**k / factorial(k) for k in range(servers)) + last)


def multiserver_time(servers: int, arrivals: float, services: float) -> float:
    """C/(c mu - l) + 1/mu: the mean time in M/M/c; with one server 1/(mu - l)."""
    waits = erlang_c(servers, arrivals / services)
    return waits / (servers * services - arrivals) + 1 / services


def single_server_time(arrivals: float, mean: float, second_moment: float) -> float:
    """E[S] + l E[S^2] / (2 (1 - rho)): the mean time in M/G/1, first come, first served."""
    return mean + arrivals * second_moment / (2 * (1 - arrivals * mean))


def repair_rate(n: int, thinking: float, services: float) -> float:
    """mu (1 - p_0), p_k in proportion to n!/(n - k)! (l/mu)^k: n clients before one server.

    Each thinks for ``1 / thinking`` on average before it comes.
    """
    weights = [factorial(n) / factorial(n - k) * (thinking / services) ** k for k in range(n + 1)]
    return services * (1 - 1 / sum(weights))


def capped_poisson(most: int, mean: float) -> float:
    """E[min(K, N)] = sum_{k <= K} P(N >= k), N Poisson: steps done at a poll, at most K."""
    below = [exp(-mean) * mean**k / factorial(k) for k in range(most)]
    return sum(1 - sum(below[:k]) for k in range(1, most + 1))


def all_have_appeared(probabilities: Sequence[float]) -> float:
    """sum_{t >= 0} 1 - prod(1 - (1 - p_i)^t): mean trials until all have succeeded once."""
    # By inclusion and exclusion over geometric minima: those of a subset all fail together.
    return sum(
        (-1.0) ** (size + 1) / (1 - prod(1 - p for p in subset))
        for size in range(1, len(probabilities) + 1)
        for subset in combinations(probabilities, size)
    )


def buzen(ratios: Sequence[float], m: int) -> list[float]:
    """Z_0, ..., Z_m: Z_k is the sum of prod_i r_i^x_i over all x of k tasks (Buzen, 1973)."""
    sums = [1.0] + [0.0] * m
    for ratio in ratios:
        for k in range(1, m + 1):
            sums[k] += ratio * sums[k - 1]
    return sums


def network_rate(m: int, ratios: Sequence[float]) -> float:
    """Z_{m-1} / Z_m: completions a second in a closed Jackson network, r_i = p_i / mu_i."""
    sums = buzen(ratios, m)
    return sums[m - 1] / sums[m]


def mean_queue(client: int, m: int, ratios: Sequence[float]) -> float:
    """sum_{k=1..m} r_i^k Z_{m-k} / Z_m: the mean number of the m tasks that are at a client."""
    sums = buzen(ratios, m)
    return sum(ratios[client] ** k * sums[m - k] for k in range(1, m + 1)) / sums[m]


def delayed_sums(ratios: Sequence[float], delays: Sequence[float], m: int) -> list[float]:
    """G_0 .. G_m of a closed network of queues, in which tasks spend time between them, too.

    G_k = sum_j Z_(k-j) D^j / j!, with Buzen's Z of the queues and D the mean time of a task's way.

    Args:
        ratios: r_i = p_i T_i of the queues.
        delays: p_i times the mean time in which a task of client i waits for nothing.
        m: tasks in flight.
    """
    way, sums = sum(delays), buzen(ratios, m)
    return [sum(sums[k - j] * way**j / factorial(j) for j in range(k + 1)) for k in range(m + 1)]


def without_tasks(client: int, ratios: Sequence[float], delays: Sequence[float], m: int) -> float:
    """G_m without the client over G_m: the probability that none of m tasks is a client's."""
    others = [i for i in range(len(ratios)) if i != client]
    alone = delayed_sums([ratios[i] for i in others], [delays[i] for i in others], m)
    return alone[m] / delayed_sums(ratios, delays, m)[m]
