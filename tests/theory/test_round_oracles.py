"""Synchronous rounds last as long as the slowest of their clients: order statistics.

With H_n the n-th harmonic number, the slowest of K independent Exp(l) tasks takes H_K / l on
average, with variance sum_{j <= K} 1 / (j l)^2; the K-th of M takes (H_M - H_{M-K}) / l.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from intervals import REPLICATIONS, Comparisons
from scipy.integrate import quad
from timing import EXPONENTIAL, updates_of

ROUNDS = 600


def harmonic(n: int) -> float:
    return sum(1 / j for j in range(1, n + 1))


def rounds(
    clients: int, compute: dict[str, Any], *, first: int | None = None, **sections: Any
) -> list[np.ndarray]:
    """The lengths of the rounds of each replication, in seconds."""
    strategy: dict[str, Any] = {"kind": "fedavg", "clients_per_round": first or clients}
    if first is not None:
        strategy["over_selection"] = clients / first - 1
    found = []
    for seed in range(1, REPLICATIONS + 1):
        run = updates_of(
            clients, strategy, compute, updates=ROUNDS * (first or clients), seed=seed, **sections
        )
        ends = run.seconds[np.flatnonzero(np.diff(run.version, prepend=0))]
        assert len(ends) == ROUNDS
        found.append(np.diff(ends, prepend=0.0))
    return found


def means(found: list[np.ndarray]) -> list[float]:
    return [float(lengths.mean()) for lengths in found]


def test_the_slowest_of_k_exponentials(compare: Comparisons) -> None:
    k, rate = 5, 2.0
    found = rounds(k, {"seconds_per_task": 1 / rate, **EXPONENTIAL})
    compare.mean(
        means(found),
        harmonic(k) / rate,
        mistakes=[harmonic(k - 1) / rate, harmonic(k + 1) / rate, harmonic(k) * rate],
        what="mean",
    )
    compare.mean(
        [float(lengths.var(ddof=1)) for lengths in found],
        sum(1 / (j * rate) ** 2 for j in range(1, k + 1)),
        mistakes=[harmonic(k) / rate**2, 1 / rate**2, (harmonic(k) / rate) ** 2],
        what="variance",
    )
    # Rounds are independent of one another: no correlation between neighbours.
    compare.mean(
        [float(np.corrcoef(lengths[1:], lengths[:-1])[0, 1]) for lengths in found],
        0.0,
        mistakes=[0.1, -0.1],
        what="correlation",
    )


def test_constant_terms_and_transfers_shift_a_round(compare: Comparisons) -> None:
    k = 4
    compute = {"seconds_per_task": 1.0, **EXPONENTIAL, "jitter_seconds": 2.0}
    found = rounds(k, compute, down=0.5, up=0.25)
    shift = 2.0 + 0.5 + 0.25
    compare.mean(
        means(found),
        shift + harmonic(k),
        mistakes=[shift - 0.25 + harmonic(k), shift + harmonic(k) + 0.5, shift + harmonic(k - 1)],
    )


def test_the_slowest_of_k_uniforms(compare: Comparisons) -> None:
    k, a, b = 4, 1.0, 3.0
    found = rounds(k, {"jitter": {"dist": "uniform", "loc": a, "scale": b - a}})
    compare.mean(
        means(found),
        a + (b - a) * k / (k + 1),
        mistakes=[b, a + (b - a) * (k - 1) / k, a + (b - a) * (k + 1) / (k + 2), (a + b) / 2],
    )


def test_the_first_k_of_m_exponentials(compare: Comparisons) -> None:
    m, k, rate = 6, 3, 0.5
    found = rounds(m, {"seconds_per_task": 1 / rate, **EXPONENTIAL}, first=k)
    compare.mean(
        means(found),
        (harmonic(m) - harmonic(m - k)) / rate,
        mistakes=[
            harmonic(k) / rate,
            (harmonic(m) - harmonic(m - k - 1)) / rate,
            (harmonic(m) - harmonic(m - k + 1)) / rate,
        ],
    )


@pytest.mark.parametrize("times", [[0.5, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0, 3.0]])
def test_the_slowest_of_different_exponentials(times: list[float], compare: Comparisons) -> None:
    found = rounds(len(times), {"seconds_per_task": {"values": times}, **EXPONENTIAL})
    exact, _ = quad(lambda t: 1 - np.prod([1 - np.exp(-t / time) for time in times]), 0, np.inf)
    same = float(np.mean(times)) * harmonic(len(times))  # as if all had the mean time
    compare.mean(means(found), exact, mistakes=[max(times), same])
