"""Asynchronous SGD with one task per client: who is how stale, and how often each is heard.

Client i's tasks take T_i on average and it is sent the next one itself. Between two of its updates
client j makes T_i / T_j, so that E[delay_i] = T_i sum_{j != i} 1/T_j, and its share of all updates
is (1/T_i) / sum_j 1/T_j. With exponential tasks the order of updates is a sequence of independent
draws by these shares, and the delay is geometric.
"""

from __future__ import annotations

from collections.abc import Iterator

from afl_sim.streams import Streams
from afl_sim.theory.formulas import expected_delay, expected_share
from afl_sim.theory.oracle import EXPONENTIAL, Experiment, Oracle, Statistic, fleet

ALL = {"kind": "fedasync", "concurrency": "all"}
TIMES = (1.0, 0.5, 2.0, 4.0)  # rates 1, 2, 1/2, 1/4: shares 4/15, 8/15, 2/15, 1/15
DRAWN = 5  # clients whose times are drawn from U(1, 3)


def drawn_times(seed: int) -> list[float]:
    """The times of those clients that have random task times."""
    return [float(1 + 2 * u) for u in Streams(seed).uniforms("compute.level", range(DRAWN))]


def oracles() -> Iterator[Oracle]:
    """Delays and shares of each client."""
    law = {"dist": "uniform", "loc": 1.0, "scale": 2.0}
    constant = Experiment(fleet(DRAWN, ALL, {"seconds_per_task": law}, updates=1500), 200)
    for client in (0, 1):
        # 1: its own update counted too.
        yield Oracle(
            f"asynchronous.delay.constant.{client}",
            f"E[delay] - T_i sum_(j != i) 1/T_j = 0, constant times from U(1, 3), client {client}",
            0.0,
            constant,
            _delay_error(client),
            (1.0, -1.0),
        )
        yield Oracle(
            f"asynchronous.share.constant.{client}",
            f"share - (1/T_i)/sum_j 1/T_j = 0, constant times from U(1, 3), client {client}",
            0.0,
            constant,
            _share_error(client),
            (0.02, -0.02),
        )
    compute = {"seconds_per_task": {"values": list(TIMES)}, **EXPONENTIAL}
    exponential = Experiment(fleet(len(TIMES), ALL, compute, updates=4100), 100)
    for client in range(len(TIMES)):
        delay, share = expected_delay(client, TIMES), expected_share(client, TIMES)
        counts_itself = (delay + 1,) if client < 2 else ()  # too near, where delays are long
        yield Oracle(
            f"asynchronous.delay.exponential.{client}",
            f"E[delay] = T_i sum_(j != i) 1/T_j, exponential, T_i = {TIMES[client]:g} s",
            delay,
            exponential,
            _delay(client),
            (len(TIMES) - 1, *counts_itself),
        )
        yield Oracle(
            f"asynchronous.share.exponential.{client}",
            f"share = (1/T_i)/sum_j 1/T_j, exponential, T_i = {TIMES[client]:g} s",
            share,
            exponential,
            _share(client),
            (1 / len(TIMES), TIMES[client] / sum(TIMES)),
        )
    for client, delay in ((1, 0), (1, 1), (1, 2), (1, 3), (0, 0), (0, 2)):
        # An update is this client's, and its delay is k, with probability p * p (1 - p)^k. Counted
        # among all updates after the k-th, that is unbiased: no long delay is cut off by the end.
        p = expected_share(client, TIMES)
        probability = p * p * (1 - p) ** delay
        yield Oracle(
            f"asynchronous.geometric.{client}.{delay}",
            f"P(client, delay = k) = p p (1 - p)^k, k = {delay}, p = {p:.4g}",
            probability,
            exponential,
            _share_with_delay(client, delay),
            (probability * (1 - p), probability / (1 - p)),  # off by one, either way
        )


def _delay(client: int) -> Statistic:
    return lambda run: float(run.delays_of(client).mean())


def _share(client: int) -> Statistic:
    return lambda run: float((run.client == client).mean())


def _share_with_delay(client: int, delay: int) -> Statistic:
    return lambda run: float(((run.client == client) & (run.staleness == delay)).mean())


def _delay_error(client: int) -> Statistic:
    measured = _delay(client)
    return lambda run: measured(run) - expected_delay(client, drawn_times(run.seed))


def _share_error(client: int) -> Statistic:
    measured = _share(client)
    return lambda run: measured(run) - expected_share(client, drawn_times(run.seed))
