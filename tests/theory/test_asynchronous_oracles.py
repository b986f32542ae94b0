"""Asynchronous SGD with one task per client: who is how stale, and how often each is heard.

Client i's tasks take T_i on average and it is sent the next one itself. Between two of its updates
client j makes T_i / T_j, so that E[delay_i] = T_i sum_{j != i} 1/T_j, and its share of all updates
is (1/T_i) / sum_j 1/T_j. With exponential tasks the order of updates is a sequence of independent
draws by these shares, and the delay is geometric.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from intervals import Comparisons
from timing import EXPONENTIAL, Updates, replicated, updates_of

from afl_sim.streams import Streams

ALL = {"kind": "fedasync", "concurrency": "all"}


def expected_delay(client: int, times: Any) -> Any:
    """T_i sum_{j != i} 1/T_j."""
    others = sum(1 / time for j, time in enumerate(times) if j != client)
    return times[client] * others


def expected_share(client: int, times: Any) -> Any:
    """(1/T_i) / sum_j 1/T_j."""
    return 1 / times[client] / sum(1 / time for time in times)


def test_constant_times_give_the_mean_delays_exactly_over_a_common_period() -> None:
    # Times of 1, 2, 3, 4 and 6 s: all meet every 12 s. Over a whole number of periods, from one
    # meeting to another, nothing is left over.
    times = [Fraction(t) for t in (1, 2, 3, 4, 6)]
    in_a_period = sum(12 / time for time in times)
    assert in_a_period == 27
    periods = 10
    run = updates_of(
        5,
        ALL,
        {"seconds_per_task": {"values": [int(t) for t in times]}},
        updates=27 * periods,
        seed=1,
    )
    late = run.after(27)  # the first tasks were all sent at once, at version 0
    for client, time in enumerate(times):
        delays = late.delays_of(client)
        assert len(delays) == 12 / time * (periods - 1)
        assert Fraction(int(delays.sum()), len(delays)) == expected_delay(client, times)
        assert Fraction(len(delays), len(late)) == expected_share(client, times)


def test_constant_times_drawn_at_random_give_the_mean_delays(compare: Comparisons) -> None:
    # Each replication draws the five clients' times once, from U(1, 3): the errors must be centred.
    clients = 5
    law = {"dist": "uniform", "loc": 1.0, "scale": 2.0}
    runs = replicated(
        lambda seed: updates_of(clients, ALL, {"seconds_per_task": law}, updates=1500, seed=seed),
        warm_up=200,
    )
    times = [1 + 2 * Streams(seed).uniforms("compute.level", range(5)) for seed in range(1, 17)]
    for client in (0, 1):
        errors = [
            float(run.delays_of(client).mean()) - expected_delay(client, t)
            for run, t in zip(runs, times, strict=True)
        ]
        # 1: its own update counted too. The mean m - 1 = 4 for everyone would be off by its spread.
        compare.mean(errors, 0.0, mistakes=[1.0, -1.0], what=f"delay of client {client}")
        assert np.std([expected_delay(client, t) for t in times]) > 10 * np.std(errors)
        shares = [
            float((run.client == client).mean()) - expected_share(client, t)
            for run, t in zip(runs, times, strict=True)
        ]
        compare.mean(shares, 0.0, mistakes=[0.02, -0.02], what=f"share of client {client}")


TIMES = [1.0, 0.5, 2.0, 4.0]  # rates 1, 2, 1/2, 1/4: shares 4/15, 8/15, 2/15, 1/15


@pytest.fixture(scope="module")
def exponential_runs() -> list[Updates]:
    compute = {"seconds_per_task": {"values": TIMES}, **EXPONENTIAL}
    return replicated(
        lambda seed: updates_of(len(TIMES), ALL, compute, updates=4100, seed=seed), warm_up=100
    )


@pytest.mark.parametrize("client", range(4))
def test_exponential_times_give_the_same_mean_delays_and_shares(
    client: int, exponential_runs: list[Updates], compare: Comparisons
) -> None:
    delay = expected_delay(client, TIMES)
    counts_itself = [delay + 1] if client < 2 else []  # too near, for the delays of slow clients
    compare.mean(
        [float(run.delays_of(client).mean()) for run in exponential_runs],
        delay,
        mistakes=[len(TIMES) - 1, *counts_itself],
        what=f"delay of client {client}",
    )
    share = expected_share(client, TIMES)
    compare.mean(
        [float((run.client == client).mean()) for run in exponential_runs],
        share,
        mistakes=[1 / len(TIMES), TIMES[client] / sum(TIMES)],
        what=f"share of client {client}",
    )


@pytest.mark.parametrize(("client", "delay"), [(1, 0), (1, 1), (1, 2), (1, 3), (0, 0), (0, 2)])
def test_exponential_times_make_the_delay_geometric(
    client: int, delay: int, exponential_runs: list[Updates], compare: Comparisons
) -> None:
    # An update is this client's, and its delay is k, with probability p * p (1 - p)^k. Counted
    # among all updates after the k-th, that is unbiased: no long delay is cut off by the end.
    p = expected_share(client, TIMES)
    law = p * p * (1 - p) ** delay
    compare.mean(
        [
            float(((run.client == client) & (run.staleness == delay)).mean())
            for run in exponential_runs
        ],
        law,
        mistakes=[law * (1 - p), law / (1 - p)],  # off by one, either way
        what=f"P(delay = {delay}) of client {client}",
    )
