"""Staleness with a constant number of tasks in flight.

With m tasks in flight and one update in a version, each version makes the m - 1 other tasks older
by one. So completed delays and ages in flight add up to (m - 1) times the versions, on every path,
and the mean delay is m - 1 whatever the service law. A buffer of K makes it (m - 1) / K where the
K-th client's replacement is sent after the step (FedBuff), m / K where it is sent before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from afl_sim.theory.oracle import LAWS, Experiment, Oracle, fleet

CLIENTS = 12
# Fast and slow clients; the law is that of each task around the client's own mean.
SPREAD = {"values": [0.2, 0.5, 1.0, 1.0, 2.0, 4.0, 0.3, 0.7, 1.5, 3.0, 1.0, 0.9]}
CONCURRENCY, BUFFER = 10, 5


def compute(law: str) -> dict[str, Any]:
    """The fleet's speeds, with tasks of one of the `LAWS` around each client's mean."""
    return {"seconds_per_task": SPREAD, **LAWS[law]}


def _mean_staleness(
    name: str, formula: str, strategy: dict[str, Any], law: str, **others: Any
) -> Oracle:
    experiment = Experiment(fleet(CLIENTS, strategy, compute(law), updates=1500), warm_up=500)
    return Oracle(
        name, formula, experiment=experiment, statistic=lambda run: run.staleness.mean(), **others
    )


def oracles() -> Iterator[Oracle]:
    """Mean staleness of FedAsync and FedBuff."""
    m, buffered = 8, {"kind": "fedbuff", "concurrency": CONCURRENCY, "buffer_size": BUFFER}
    for law in LAWS:
        yield _mean_staleness(
            f"staleness.one-by-one.{law}",
            f"mean staleness = m - 1, m = {m} in flight, {law} tasks",
            {"kind": "fedasync", "concurrency": m},
            law,
            exact=m - 1,
            mistakes=(m, m - 2),
        )
    m, k = CONCURRENCY, BUFFER
    for law in LAWS:
        yield _mean_staleness(
            f"staleness.buffer.{law}",
            f"mean staleness = (M - 1)/K, M = {m}, K = {k}, {law} tasks",
            buffered,
            law,
            exact=(m - 1) / k,
            mistakes=(m / k, (m - k) / k, m - 1),
        )
    yield _mean_staleness(
        "staleness.buffer.sent-before",
        f"mean staleness = M/K, M = {m}, K = {k}, the replacement sent before the step",
        {**buffered, "replacement": "before_step"},
        "exponential",
        exact=m / k,
        mistakes=((m - 1) / k,),
    )
