"""Synchronous rounds last as long as the slowest of their clients: order statistics.

With H_n the n-th harmonic number, the slowest of K independent Exp(l) tasks takes H_K / l on
average, with variance sum_{j <= K} 1 / (j l)^2; the K-th of M takes (H_M - H_{M-K}) / l.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from afl_sim.theory.formulas import harmonic, slowest_of
from afl_sim.theory.oracle import EXPONENTIAL, Experiment, Oracle, fleet
from afl_sim.theory.timing import Updates

ROUNDS = 600
DIFFERENT = ((0.5, 2.0, 2.0), (1.0, 1.0, 1.0, 1.0, 3.0))


def _experiment(
    clients: int, compute: dict[str, Any], first: int | None = None, **sections: Any
) -> Experiment:
    strategy: dict[str, Any] = {"kind": "fedavg", "clients_per_round": first or clients}
    if first is not None:
        strategy["over_selection"] = clients / first - 1
    return Experiment(
        fleet(clients, strategy, compute, updates=ROUNDS * (first or clients), **sections)
    )


def _mean(run: Updates) -> float:
    return float(run.rounds().mean())


def _variance(run: Updates) -> float:
    return float(run.rounds().var(ddof=1))


def _correlation(run: Updates) -> float:
    lengths = run.rounds()
    return float(np.corrcoef(lengths[1:], lengths[:-1])[0, 1])


def oracles() -> Iterator[Oracle]:
    """Mean lengths of rounds; for one fleet also their variance and their independence."""
    k, rate = 5, 2.0
    slowest = _experiment(k, {"seconds_per_task": 1 / rate, **EXPONENTIAL})
    yield Oracle(
        "rounds.slowest.mean",
        f"E[max] = H_K/l, K = {k}, l = {rate:g}",
        harmonic(k) / rate,
        slowest,
        _mean,
        (harmonic(k - 1) / rate, harmonic(k + 1) / rate, harmonic(k) * rate),
    )
    yield Oracle(
        "rounds.slowest.variance",
        f"Var[max] = sum_(j <= K) 1/(j l)^2, K = {k}, l = {rate:g}",
        sum(1 / (j * rate) ** 2 for j in range(1, k + 1)),
        slowest,
        _variance,
        (harmonic(k) / rate**2, 1 / rate**2, (harmonic(k) / rate) ** 2),
    )
    yield Oracle(
        "rounds.slowest.independent",
        "correlation of neighbouring rounds = 0",
        0.0,
        slowest,
        _correlation,
        (0.1, -0.1),
    )
    k, shift = 4, 2.0 + 0.5 + 0.25
    yield Oracle(
        "rounds.shifted",
        f"E[max] = c + H_K/l, K = {k}, l = 1, c = {shift:g} s of constant terms and transfers",
        shift + harmonic(k),
        _experiment(
            k,
            {"seconds_per_task": 1.0, **EXPONENTIAL, "jitter_seconds": 2.0},
            network={"download": {"latency": 0.5}, "upload": {"latency": 0.25}},
        ),
        _mean,
        (shift - 0.25 + harmonic(k), shift + harmonic(k) + 0.5, shift + harmonic(k - 1)),
    )
    a, b = 1.0, 3.0
    yield Oracle(
        "rounds.uniform",
        f"E[max] = a + (b - a) K/(K + 1), K = {k}, U({a:g}, {b:g})",
        a + (b - a) * k / (k + 1),
        _experiment(k, {"jitter": {"dist": "uniform", "loc": a, "scale": b - a}}),
        _mean,
        (b, a + (b - a) * (k - 1) / k, a + (b - a) * (k + 1) / (k + 2), (a + b) / 2),
    )
    m, k, rate = 6, 3, 0.5
    yield Oracle(
        "rounds.first",
        f"E[K-th of M] = (H_M - H_(M-K))/l, K = {k}, M = {m}, l = {rate:g}",
        (harmonic(m) - harmonic(m - k)) / rate,
        _experiment(m, {"seconds_per_task": 1 / rate, **EXPONENTIAL}, k),
        _mean,
        (
            harmonic(k) / rate,
            (harmonic(m) - harmonic(m - k - 1)) / rate,
            (harmonic(m) - harmonic(m - k + 1)) / rate,
        ),
    )
    for index, times in enumerate(DIFFERENT):
        yield _different(index, times)


def _different(index: int, times: Sequence[float]) -> Oracle:
    compute = {"seconds_per_task": {"values": list(times)}, **EXPONENTIAL}
    same = float(np.mean(times)) * harmonic(len(times))  # as if all had the mean time
    return Oracle(
        f"rounds.different.{index}",
        f"E[max] = int 1 - prod_i(1 - exp(-t/T_i)) dt, T = {', '.join(f'{t:g}' for t in times)}",
        slowest_of(times),
        _experiment(len(times), compute),
        _mean,
        (max(times), same),
    )
