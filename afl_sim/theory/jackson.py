"""Clients that queue tasks: a closed Jackson network (Generalized AsyncSGD).

m tasks are in flight. A client that completes one sends it on to client i with probability p_i,
where it queues, first in, first out, for an exponential service of mean T_i. With r_i = p_i T_i,
numbers x_i of tasks at the clients have a stationary law in proportion to the product of r_i^x_i,
whose sums Z_k over all ways to place k tasks are Buzen's. Updates come at the rate L = Z_{m-1}/Z_m,
client i is at work for r_i L of the time, and a task that comes to it finds the network as m - 1
others leave it, so that E[delay_i] = E_{m-1}[x_i] / p_i.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from afl_sim.theory.formulas import mean_queue, network_rate
from afl_sim.theory.oracle import EXPONENTIAL, Experiment, Oracle, Statistic, fleet

# Times, how clients are drawn, tasks in flight, and the clients whose delays are compared.
UNIFORM = ((0.5, 1.0, 1.5), "uniform", 3, (0, 1, 2))
WEIGHTED = ((1.0, 0.4, 2.0, 0.5), (0.3, 0.4, 0.1, 0.2), 3, (0, 1, 2))
BY_SPEED = ((0.5, 1.0, 2.0, 4.0), "speed", 4, (0, 3))


def probabilities(times: Sequence[float], sampling: str | Sequence[float]) -> list[float]:
    """p: how often each client is drawn."""
    if sampling == "uniform":
        weights = [1.0] * len(times)
    elif sampling == "speed":
        weights = [1 / time for time in times]
    else:
        weights = [float(weight) for weight in sampling]
    return [weight / sum(weights) for weight in weights]


def _experiment(times: Sequence[float], sampling: str | Sequence[float], m: int) -> Experiment:
    drawn: Any = sampling if isinstance(sampling, str) else list(sampling)
    strategy = {"kind": "generalized_asyncsgd", "concurrency": m, "sampling": drawn}
    compute = {"seconds_per_task": {"values": list(times)}, **EXPONENTIAL}
    return Experiment(fleet(len(times), strategy, compute, updates=6200), 200)


def oracles() -> Iterator[Oracle]:
    """Rates, utilisations, delays and times at the clients of three networks."""
    yield from _network("uniform", "p uniform", *UNIFORM)
    yield from _network("weighted", "p given", *WEIGHTED)
    yield from _network("speed", "p_i ~ 1/T_i", *BY_SPEED)


def _network(
    name: str,
    drawn: str,
    times: Sequence[float],
    sampling: str | Sequence[float],
    m: int,
    compared: Sequence[int],
) -> Iterator[Oracle]:
    p = probabilities(times, sampling)
    ratios = [share * time for share, time in zip(p, times, strict=True)]
    runs = _experiment(times, sampling, m)
    about = f"n = {len(times)}, m = {m}, {drawn}"
    rate = network_rate(m, ratios)
    yield Oracle(
        f"jackson.rate.{name}",
        f"closed Jackson network: seconds/update = Z_m/Z_(m-1), {about}",
        1 / rate,
        runs,
        lambda run: run.seconds_each,
        (1 / network_rate(m - 1, ratios), 1 / network_rate(m + 1, ratios)),
    )
    busiest = max(range(len(times)), key=lambda client: ratios[client])
    yield Oracle(
        f"jackson.utilisation.{name}",
        f"utilisation = r_i Z_(m-1)/Z_m, {about}, T_i = {times[busiest]:g} s",
        ratios[busiest] * rate,
        runs,
        _utilisation(busiest),
        (ratios[busiest] * network_rate(m - 1, ratios), 1.0),
    )
    for client in compared:
        delay = mean_queue(client, m - 1, ratios) / p[client]
        yield Oracle(
            f"jackson.delay.{name}.{client}",
            f"E[delay_i] = E_(m-1)[x_i]/p_i, {about}, T_i = {times[client]:g} s",
            delay,
            runs,
            _delay(client),
            (
                mean_queue(client, m, ratios) / p[client],
                mean_queue(client, m - 2, ratios) / p[client],
            ),
        )
    slowest = max(range(len(times)), key=lambda client: times[client])
    exact = mean_queue(slowest, m, ratios) / (p[slowest] * rate)
    yield Oracle(
        f"jackson.time.{name}",
        f"queueing and computing: E_m[x_i]/(p_i L) seconds (Little), {about}, "
        f"T_i = {times[slowest]:g} s",
        exact,
        runs,
        lambda run: float(run.sojourn[run.client == slowest].mean()),
        (times[slowest], exact - times[slowest]),
    )


def _delay(client: int) -> Statistic:
    return lambda run: float(run.delays_of(client).mean())


def _utilisation(client: int) -> Statistic:
    def share(run: Any) -> float:
        mine = run.computing[1:][run.client[1:] == client]  # the first update marks the beginning
        return float(mine.sum() / (run.seconds[-1] - run.seconds[0]))

    return share
